// Package plan turns a kernel command line into everything the boot will do, as data.
//
// A Plan is made without I/O: the same line gives the same plan on every machine. Every option is a row of Parameters, with its key, its
// default, a sentence, and what it sets; the README's table is made from the same rows. Mistakes are all found and joined in one
// error, so that a person mends them in one go.
package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/cmdline"
	"github.com/liveboot/liveboot/pkg/console"
	"github.com/liveboot/liveboot/pkg/device"
	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/handoff"
	"github.com/liveboot/liveboot/pkg/kernel/power"
	"github.com/liveboot/liveboot/pkg/live"
	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/overlay"
	"github.com/liveboot/liveboot/pkg/spelling"
	"github.com/liveboot/liveboot/pkg/target"
)

// A Plan is everything the boot will do.
type Plan struct {
	Devices device.Spec
	Network network.Config
	Image   fetch.Source
	// Paths are images of which the line says only the path, and DHCP the server; "" is all DHCP's.
	Paths []string
	// Key is a public key by which the image's digest must be signed, or the path of one in the initramfs; empty asks for none but those of the initramfs.
	Key string
	// Local is where the image is if it does not come over the network.
	Local  Local
	Target target.Spec
	// Stream says how much of the image the boot waits for.
	Stream Stream
	// MediaCheck verifies the image by the checksum that its maker put into it.
	MediaCheck bool
	Live       live.Spec
	Overlay    overlay.Spec
	Handoff    handoff.Spec
	Rescue     Rescue

	// Verbosity of the console.
	Verbosity console.Verbosity
	// Break names the stages before which a shell is opened.
	Break []Stage
	// Warnings are remarks about the line that do not stop the boot.
	Warnings []string

	// reading is used until the line was read to its end.
	reading reading
}

// Local is an image that the machine has already: on a stick, a CD, a disk, or in a file on one.
type Local struct {
	// Device holds it, by any of its names.
	Device string
	// AoE says that Device is a disk behind the network by ATA over Ethernet.
	AoE bool
	// File is the path of the ISO on any file system of the machine, instead of Device, whose label the ISO then has.
	File string
	// LayerFile is the path beside it for a file that keeps what the live system writes, and LayerSize its size in bytes when it is made.
	LayerFile string
	LayerSize int64
}

// There reports whether the image is local.
func (l Local) There() bool { return l.Device != "" || l.File != "" }

// A Stage is a step of the boot.
type Stage string

// The stages, in their order.
const (
	Devices Stage = "devices"
	Network Stage = "network"
	Target  Stage = "target"
	Fetch   Stage = "fetch"
	Live    Stage = "live"
	Overlay Stage = "overlay"
	Handoff Stage = "handoff"
)

// Stages returns the stages in their order.
func Stages() []Stage { return []Stage{Devices, Network, Target, Fetch, Live, Overlay, Handoff} }

// Rescue is what happens after a failure.
type Rescue struct {
	// Shell says whether a person is offered a shell.
	Shell ShellPolicy
	// Delay is the time in which one can be asked for, before Action. Negative waits for ever.
	Delay time.Duration
	// Jitter is the longest time that is added by chance, so that the machines of a fleet do not come back in step.
	Jitter time.Duration
	Action power.Action
}

// A ShellPolicy says whether a person is offered a shell.
type ShellPolicy int

// The policies.
const (
	ShellOffered ShellPolicy = iota
	ShellAtOnce
	ShellNever
)

// DefaultRescue offers a shell for a minute and tries again.
func DefaultRescue() Rescue {
	return Rescue{Shell: ShellOffered, Delay: 60 * time.Second, Jitter: 15 * time.Second, Action: power.Reboot}
}

// Default returns the plan of an empty line, without an image.
func Default() Plan {
	return Plan{
		Local:     Local{LayerFile: "live_system.cow", LayerSize: 500 << 20},
		Target:    target.Spec{Device: target.RAMDisk},
		Stream:    Stream{Mode: StreamOff},
		Live:      live.Spec{Dir: "LiveOS", Container: "squashfs.img"},
		Overlay:   overlay.Spec{Size: "50%", FileSystem: "ext4"},
		Rescue:    DefaultRescue(),
		Verbosity: console.Normal,
	}
}

// Parse makes a plan of a line. Its error joins all mistakes of the line; the plan is then still right about Rescue and
// Verbosity, as far as these are not what is mistaken.
func Parse(line cmdline.Line) (Plan, error) {
	p := Default()
	rows := Parameters()
	var errs []error
	for _, word := range line {
		row := find(rows, word.Key)
		if row == nil {
			errs = append(errs, p.unknown(rows, word))
			continue
		}
		if err := row.set(&p, word); err != nil {
			errs = append(errs, fmt.Errorf("option %v: %w", redact(*row, word), err))
		}
	}
	errs = append(errs, p.finish())
	return p, errors.Join(errs...)
}

// reading is what the order of the options needs to know.
type reading struct {
	// imageSource and digestSource are the sources of the image and of its digest so far: a later one replaces what a site
	// baked in.
	imageSource, digestSource string
	// dolly tells that there were options for a ring.
	dolly bool
	// streamed tells that an address asked for streaming, and streamMode that an option said whether.
	streamed, streamMode bool
	// chunksSource is the source of the root of the chunk manifest.
	chunksSource string
	networkReading
}

// finish sees to what depends on several options.
func (p *Plan) finish() error {
	err := p.finishNetwork()
	p.finishDolly()
	err = errors.Join(err, p.finishStream())
	p.reading = reading{}
	switch {
	case p.Local.There() && p.Target.Device != target.RAMDisk:
		err = errors.Join(err, errors.New("rd.kiwi.live.system= is for an image from the network, and root= names one that is here already: take one of them off the line"))
	case p.Local.There() && len(p.Image.URLs)+len(p.Paths) > 0:
		err = errors.Join(err, errors.New("root= names an image from the network and one that is here already: take one of them off the line"))
	case p.Local.There():
		p.dropReset("root= names an image that is here already")
	case p.Target.Device == target.RAMDisk:
		if p.Overlay.Persistence != overlay.Volatile {
			p.warnf("rd.live.overlay.persistent has no effect: the image is in memory (%s), and so is what is written", p.Target.Device)
			p.Overlay.Persistence = overlay.Volatile
		}
		p.dropReset("there is no disk in rd.kiwi.live.system=")
	}
	if p.MediaCheck && p.Target.Device != target.RAMDisk {
		err = errors.Join(err, errors.New("rd.live.check cannot check an image on a disk of rd.kiwi.live.system=, whose partition table differs from the image's: give the image's digest in rd.liveboot.sha256= instead; it is compared with what is on the disk"))
	}
	if p.Handoff.Append && p.Handoff.Way == handoff.SwitchRootOnly {
		p.warnf("rd.liveboot.append has no effect with rd.liveboot.handoff=switch_root: the kernel that runs has its options")
	}
	if len(p.Image.URLs)+len(p.Paths) == 0 && !p.Local.There() {
		err = errors.Join(err, errors.New("no image: add root=live:http://server/path/to.iso to the kernel command line"))
	}
	return err
}

func (p *Plan) dropReset(because string) {
	if p.Target.Reset {
		p.warnf("rd.kiwi.live.reset has no effect: %s", because)
		p.Target.Reset = false
	}
}

func (p *Plan) warnf(format string, args ...any) {
	p.Warnings = append(p.Warnings, fmt.Sprintf(format, args...))
}

func find(rows []Parameter, key string) *Parameter {
	for i := range rows {
		if rows[i].Key == key || slices.Contains(rows[i].Aliases, key) {
			return &rows[i]
		}
	}
	return nil
}

// unknown deals with a key that has no row. The live system's own options are left alone; those of our families are mistakes: of
// rd.liveboot.* a fatal one, since it may have been the one that verifies the image.
func (p *Plan) unknown(rows []Parameter, word cmdline.Param) error {
	switch {
	case strings.HasPrefix(word.Key, "rd.liveboot."):
		return fmt.Errorf("unknown option %s: did you mean %s?", word.Key, nearest(rows, word.Key))
	case strings.HasPrefix(word.Key, "rd.kiwi.live."), strings.HasPrefix(word.Key, "rd.live."):
		p.warnf("unknown option %s is ignored: did you mean %s?", word.Key, nearest(rows, word.Key))
	default:
		p.moduleOption(word)
	}
	return nil
}

// moduleOption takes "<module>.<parameter>[=<value>]", as modprobe(8) does. Whether there is such a module shows when it is loaded.
func (p *Plan) moduleOption(word cmdline.Param) {
	module, parameter, ok := strings.Cut(word.Key, ".")
	if !ok || module == "" || module == "rd" || parameter == "" || strings.Contains(parameter, ".") {
		return
	}
	if p.Devices.Parameters == nil {
		p.Devices.Parameters = make(map[string]string)
	}
	word.Key = parameter
	p.Devices.Parameters[module] = strings.TrimSpace(p.Devices.Parameters[module] + " " + word.String())
}

// nearest returns the known key that differs least from key.
func nearest(rows []Parameter, key string) string {
	return spelling.Nearest(key, func(yield func(string) bool) {
		for _, row := range rows {
			for _, known := range append([]string{row.Key}, row.Aliases...) {
				if !yield(known) {
					return
				}
			}
		}
	})
}

// redact returns the option as it may be shown: addresses without their secrets, and of an option that holds other secrets, or that is
// not built, so that nobody here understands its value, only the key.
func redact(row Parameter, word cmdline.Param) string {
	if !row.Built() || row.Secret {
		return word.Key
	}
	if strings.Contains(word.Value, ":") {
		words := strings.Fields(word.Value)
		for i, w := range words {
			prefix := ""
			if inner, ok := strings.CutPrefix(w, "live:"); ok {
				prefix, w = "live:", inner
			}
			if strings.Contains(w, "//") {
				w = fetch.URL(w).String()
			}
			words[i] = prefix + w
		}
		word.Value = strings.Join(words, " ")
	}
	return word.String()
}
