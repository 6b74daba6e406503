package plan

import (
	"errors"
	"fmt"
	"strings"

	"github.com/liveboot/liveboot/pkg/cmdline"
	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/fetch/template"
	"github.com/liveboot/liveboot/pkg/target"
)

// setRoot reads root=. Another root than a live one belongs to somebody else and is refused: there would be nothing to boot.
func setRoot(p *Plan, w cmdline.Param) error {
	if p.reading.imageSource != w.Source {
		p.Image.URLs, p.Paths, p.reading.streamed = nil, nil, false
		p.Local.Device, p.Local.AoE = "", false
		if p.reading.digestSource != w.Source {
			p.Image.Digest, p.reading.digestSource = fetch.Digest{}, "" // it was that of the other image
		}
	}
	p.reading.imageSource = w.Source
	value := strings.TrimPrefix(w.Value, "live:")
	if local, ok := localDevice(value); ok {
		p.Local.Device, p.Local.AoE = local, strings.HasPrefix(value, aoePrefix)
		return nil
	}
	var errs []error
	for word := range strings.FieldsSeq(value) {
		errs = append(errs, p.addImage(strings.TrimPrefix(word, "live:"), w.Source))
	}
	switch {
	case len(errs) > 0:
	case strings.HasPrefix(w.Value, "live:"):
		p.Paths = append(p.Paths, "")
	default:
		return errors.New("want live:http://server/path/to.iso")
	}
	return errors.Join(errs...)
}

func (p *Plan) addImage(word, source string) error {
	address, fragment, _ := strings.Cut(word, "#")
	if fragment != "" {
		algorithm, hex, ok := strings.Cut(fragment, "=")
		if !ok {
			return fmt.Errorf("want #sha256=<hex> behind the URL, not #%s", fragment)
		}
		if err := p.setDigest(algorithm, hex, source); err != nil {
			return err
		}
	}
	if inner, ok := strings.CutPrefix(address, nbdPrefix); ok {
		return p.addStreamed(inner, source)
	}
	if err := template.Check(address); err != nil {
		return err
	}
	if strings.HasPrefix(address, "/") {
		p.Paths = append(p.Paths, address)
		return nil
	}
	url, err := fetch.ParseURL(address)
	if err != nil {
		return err
	}
	if !fetch.Supported(url.Scheme()) {
		return fmt.Errorf("the image's address begins with %q, want live:http://server/path/to.iso, or https, ftp, ftps, tftp, dolly", url.Scheme()+":")
	}
	p.Image.URLs = append(p.Image.URLs, url)
	return nil
}

// aoePrefix is before the name of a disk behind the network, e<shelf>.<slot>; the kernel has such a disk in a folder of its own
// (Documentation/admin-guide/aoe/aoe.rst).
const aoePrefix = "AOEINTERFACE="

// localDevice returns the name of a device that holds the image, if value is one. A label may have spaces.
func localDevice(value string) (string, bool) {
	if name, ok := strings.CutPrefix(value, aoePrefix); ok && name != "" {
		return "/dev/etherd/" + strings.TrimPrefix(name, "/dev/etherd/"), true
	}
	for _, prefix := range []string{"/dev/", "CDLABEL=", "LABEL=", "UUID=", "PARTUUID=", "PARTLABEL="} {
		if rest, ok := strings.CutPrefix(value, prefix); ok && rest != "" {
			return value, true
		}
	}
	return "", false
}

func digest(algorithm string) func(*Plan, cmdline.Param) error {
	return func(p *Plan, w cmdline.Param) error { return p.setDigest(algorithm, w.Value, w.Source) }
}

// setDigest takes the image's digest. Two that differ cannot both be right, and to follow the last would be to drop one that somebody
// relies on; but one that was typed goes before one that a site baked in.
func (p *Plan) setDigest(algorithm, hex, source string) error {
	d, err := fetch.ParseDigest(algorithm, hex)
	if err != nil {
		return err
	}
	if p.Image.Digest != (fetch.Digest{}) && p.Image.Digest != d && p.reading.digestSource == source {
		return fmt.Errorf("two digests for one image: %v and %v", p.Image.Digest, d)
	}
	p.Image.Digest, p.reading.digestSource = d, source
	return nil
}

// setBreak reads rd.break. dracut's names are those of its own stages; each stands for the one of ours that does what comes after it.
func setBreak(p *Plan, w cmdline.Param) error {
	names := map[string]Stage{
		"": Handoff, "cmdline": Devices, "pre-udev": Devices, "pre-trigger": Devices, "initqueue": Network,
		"pre-mount": Live, "mount": Live, "pre-pivot": Handoff, "cleanup": Handoff,
	}
	for _, stage := range Stages() {
		names[string(stage)] = stage
	}
	stage, ok := names[w.Value]
	if !ok {
		return errors.New("want one of devices, network, target, fetch, live, overlay, handoff")
	}
	p.Break = append(p.Break, stage)
	return nil
}

// deviceName judges how a device is named. Of the RAM disks there is only the first.
func deviceName(name string) error {
	for _, prefix := range []string{"/dev/", "LABEL=", "UUID=", "PARTUUID=", "PARTLABEL="} {
		if rest, ok := strings.CutPrefix(name, prefix); ok && rest != "" && (name == target.RAMDisk || !strings.HasPrefix(name, "/dev/ram")) {
			return nil
		}
	}
	return fmt.Errorf("want %s or a disk: /dev/sda, /dev/disk/by-id/…, LABEL=…, UUID=… or PARTUUID=…", target.RAMDisk)
}
