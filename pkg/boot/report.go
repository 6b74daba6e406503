package boot

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/live"
	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/plan"
)

// ReportPath is where the live system finds the report.
const ReportPath = "run/liveboot/report.json"

// A Report tells the live system how it was booted. It holds no secrets. Times are in seconds since the kernel started, the
// first one where it was left by kexec; sizes in bytes.
type Report struct {
	Version string        `json:"version"`
	Kernel  string        `json:"kernel"`
	Stages  []StageReport `json:"stages"`
	Network NetworkReport `json:"network"`
	Image   ImageReport   `json:"image"`
	Device  string        `json:"device"`
	Live    LiveReport    `json:"live"`
	// Stream is there if the live system was started before all of the image was there.
	Stream *StreamReport `json:"stream,omitempty"`
	// Kexec is there if another kernel ran before.
	Kexec *KexecReport `json:"kexec,omitempty"`
}

// A StreamReport tells how an image is streamed. How far that is stands in /run/liveboot/stream.json.
type StreamReport struct {
	// Into is the device on which the image will be complete; empty if never.
	Into string `json:"into,omitempty"`
	// Verified tells when: "chunks", each part before it is used; "end", the whole when it is there; "no".
	Verified string `json:"verified"`
}

// A KexecReport tells which kernel ran before, and why it was left.
type KexecReport struct {
	From string `json:"from"`
	Why  string `json:"why"`
	// At is when.
	At float64 `json:"at"`
	// Bytes of the image were received before.
	Bytes int64 `json:"bytes"`
}

// A StageReport tells when a stage ran and what it came to.
type StageReport struct {
	Stage plan.Stage `json:"stage"`
	Began float64    `json:"began"`
	Took  float64    `json:"took"`
	What  string     `json:"what"`
}

// A NetworkReport tells which link was used.
type NetworkReport struct {
	Interface string         `json:"interface"`
	MAC       string         `json:"mac"`
	Method    network.Method `json:"method"`
	Address   string         `json:"address"`
	Gateway   string         `json:"gateway,omitempty"`
	Server    string         `json:"server,omitempty"`
}

// An ImageReport tells where the image came from.
type ImageReport struct {
	// URL after redirects, without secrets.
	URL string `json:"url"`
	// Size as announced, or -1; Bytes as received.
	Size  int64 `json:"size"`
	Bytes int64 `json:"bytes"`
	// Rate in bytes a second.
	Rate float64 `json:"rate"`
	// Digest that was verified; empty if none was asked for.
	Digest string `json:"digest,omitempty"`
}

// A LiveReport tells how the root was found.
type LiveReport struct {
	VolumeID    string `json:"volume"`
	Layout      string `json:"layout"`
	FileSystems string `json:"filesystems"`
}

func newReport(m Machine) Report {
	return Report{Version: m.Version, Kernel: m.Release}
}

// about is what mkinitramfs wrote into the image.
type about struct {
	Version string
	Date    time.Time
}

// imageOf reads it; what cannot be read is empty.
func imageOf(root fs.FS) about {
	var a about
	data, err := fs.ReadFile(root, "etc/liveboot/image.json")
	if err != nil || json.Unmarshal(data, &a) != nil {
		return about{}
	}
	return a
}

// imageVersion returns the image's version for people.
func imageVersion(root fs.FS) string { return cmp.Or(imageOf(root).Version, "of unknown version") }

func networkReport(a network.Active) NetworkReport {
	lease := a.Leases[0]
	r := NetworkReport{Interface: a.Link.Name, MAC: a.Link.MAC.String(), Method: lease.Method, Address: lease.Address.String()}
	if lease.Server.IsValid() {
		r.Server = lease.Server.String()
	}
	if gateway := lease.Gateway(); gateway.IsValid() {
		r.Gateway = gateway.String()
	}
	return r
}

func liveReport(r *live.Root) LiveReport {
	return LiveReport{VolumeID: r.VolumeID, Layout: r.Layout.Name, FileSystems: strings.Join(r.FileSystems, ", ")}
}

func (r *ImageReport) downloaded(n int64, took time.Duration, digest fetch.Digest) {
	r.Bytes = n
	if took > 0 {
		r.Rate = float64(n) / took.Seconds()
	}
	if digest != (fetch.Digest{}) {
		r.Digest = digest.String()
	}
}

func (b *run) writeReport() error {
	text, err := json.MarshalIndent(b.report, "", "  ")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := b.writeFile(ReportPath, string(text)+"\n"); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
