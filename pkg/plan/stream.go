package plan

import (
	"errors"
	"strings"

	"github.com/liveboot/liveboot/pkg/cmdline"
	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/fetch/curl"
	"github.com/liveboot/liveboot/pkg/stream/manifest"
	"github.com/liveboot/liveboot/pkg/target"
)

// Stream says how much of the image the boot waits for.
type Stream struct {
	Mode StreamMode
	// Chunks is the root of the image's chunk manifest; the zero Root asks for none.
	Chunks manifest.Root
	// Rate bounds what is fetched behind the system's back, in bytes per second; 0 for no bound.
	Rate int64
	// Reboot starts the machine again when the whole image turns out to be another one than it should be; otherwise that is only said.
	Reboot bool
}

// A StreamMode says when an image is streamed: used while it still arrives.
type StreamMode string

// The modes.
const (
	// StreamOff downloads the image before anything in it is used.
	StreamOff StreamMode = "off"
	// StreamAuto streams an image that is large for the machine or its line, where nothing is lost by it.
	StreamAuto StreamMode = "auto"
	// StreamOn streams wherever the server can be read at any offset.
	StreamOn StreamMode = "on"
	// StreamLazy streams, and never fetches what is not asked for.
	StreamLazy StreamMode = "lazy"
)

// Wanted reports whether the image may be streamed.
func (s Stream) Wanted() bool { return s.Mode != StreamOff }

// nbdPrefix is before the URL of an image that is to be streamed.
const nbdPrefix = "nbd:"

func streamParameters() []Parameter {
	return []Parameter{
		{
			Key: "rd.liveboot.stream", Form: "=off|auto|on|lazy", Default: "off",
			Doc: "Start the live system before all of its image is there, and fetch the rest behind its back, see docs/streaming.md; `live:nbd:http://…` in root= means `on`. `auto`: where the image is large for the machine's memory or line. `lazy`: fetch only what is asked for, and keep it in a cache, for an image larger than the memory; the server is needed for ever then.",
			set: func(p *Plan, w cmdline.Param) error {
				p.Stream.Mode, p.reading.streamMode = StreamMode(w.Value), true
				return oneOf(string(StreamOff), string(StreamAuto), string(StreamOn), string(StreamLazy))(p, w)
			},
		},
		{
			Key: "rd.liveboot.chunks", Form: "=sha256:<hex>",
			Doc: "What `mkinitramfs -manifest x.iso` says of an image: with `<url>.chunks`, which it writes, each part of an image that is streamed is verified before it is used. Another image is not booted.",
			set: func(p *Plan, w cmdline.Param) (err error) {
				root, err := manifest.ParseRoot(w.Value)
				if err == nil && p.Stream.Chunks != (manifest.Root{}) && p.Stream.Chunks != root && p.reading.chunksSource == w.Source {
					return errors.New("it stands on the line twice, with two values: which image is the right one?")
				}
				p.Stream.Chunks, p.reading.chunksSource = root, w.Source
				return err
			},
		},
		{
			Key: "rd.liveboot.stream-rate", Form: "=<bytes per second>", Default: "as fast as the line",
			Doc: "What is fetched behind the back of a system that streams takes no more than this: a number, or one with k, M or G. What the system asks for is fetched at once.",
			set: func(p *Plan, w cmdline.Param) (err error) {
				p.Stream.Rate, err = curl.ParseRate(w.Value)
				return err
			},
		},
		{
			Key: "rd.liveboot.mismatch", Form: "=warn|reboot", Default: "warn",
			Doc: "What to do when the digest of an image that was streamed turns out to be wrong, which without `rd.liveboot.chunks=` is known only when all is there.",
			set: func(p *Plan, w cmdline.Param) error {
				p.Stream.Reboot = w.Value == "reboot"
				return oneOf("warn", "reboot")(p, w)
			},
		},
	}
}

// addStreamed takes the URL behind nbd:.
func (p *Plan) addStreamed(address, source string) error {
	if url, err := fetch.ParseURL(address); err == nil && !fetch.Supported(url.Scheme()) || strings.HasPrefix(address, "//") {
		return errors.New("nbd: stands before the image's address, nbd:http://server/path/to.iso; a server of network block devices cannot be booted from")
	}
	p.reading.streamed = true
	return p.addImage(address, source)
}

// finishStream sees to what rules streaming out, and what it rules out.
func (p *Plan) finishStream() error {
	s := &p.Stream
	if p.reading.streamed && !p.reading.streamMode {
		s.Mode = StreamOn
	}
	without := func(because string) {
		if s.Wanted() {
			p.warnf("rd.liveboot.stream has no effect: %s", because)
		}
		s.Mode = StreamOff
	}
	verifiedLate := p.Image.Digest != (fetch.Digest{}) && s.Chunks == (manifest.Root{})
	switch {
	case p.Local.There():
		without("root= names an image that is here already")
	case p.MediaCheck && s.Wanted():
		without("rd.live.check reads all of the image before it is used")
	case s.Mode == StreamLazy && p.Target.Device != target.RAMDisk:
		return errors.New("rd.liveboot.stream=lazy never has the whole image, and rd.kiwi.live.system= names a disk for it: stream with rd.liveboot.stream=on, or take one of them off the line")
	case s.Mode == StreamLazy && verifiedLate:
		return errors.New("rd.liveboot.stream=lazy never has the whole image, so that its digest cannot be verified: make a manifest of its chunks (mkinitramfs -manifest) and add the rd.liveboot.chunks= that it says")
	}
	if !s.Wanted() && s.Chunks != (manifest.Root{}) {
		return p.unstreamedChunks()
	}
	return nil
}

// unstreamedChunks: who gives the root of a manifest relies on it. Of an image that is downloaded as a whole only a digest is verified.
func (p *Plan) unstreamedChunks() error {
	if p.Image.Digest != (fetch.Digest{}) || p.Local.There() {
		p.warnf("rd.liveboot.chunks has no effect without rd.liveboot.stream")
		return nil
	}
	return errors.New("rd.liveboot.chunks= verifies an image that is streamed: add rd.liveboot.stream=on, or give the digest of the whole image in rd.liveboot.sha256=")
}
