// Command fetchguest is the program of the machine in which downloads are measured: to the RAM disk, by curl and dd of Debian, as the
// initramfs of KIWI NG does it, and by packages fetch and target, as liveboot does it. The RAM disk is made anew each time, so that all have to
// ask for its memory. The kernel command line has the image's URL behind fetchguest.url=, its SHA-256 behind fetchguest.sha256=, and how often
// all take turns behind fetchguest.rounds=.
//
// It says "fetchguest: WAY SECONDS" for each download, and powers the machine off.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/integration/guest"
	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/kernel/alg"
	"github.com/liveboot/liveboot/pkg/kernel/block"
	"github.com/liveboot/liveboot/pkg/kernel/memory"
	"github.com/liveboot/liveboot/pkg/kernel/mount"
	"github.com/liveboot/liveboot/pkg/kernel/power"
	"github.com/liveboot/liveboot/pkg/supervisor"
	"github.com/liveboot/liveboot/pkg/target"
)

func main() {
	if err := run(); err != nil {
		fmt.Printf("fetchguest: failed: %v\n", err)
	}
	if err := power.Do(power.PowerOff); err != nil {
		fmt.Printf("fetchguest: %v\n", err)
	}
}

func run() error {
	for _, p := range []mount.Point{
		{Source: "proc", Target: "/proc", Type: "proc"}, {Source: "sysfs", Target: "/sys", Type: "sysfs"}, {Source: "devtmpfs", Target: "/dev", Type: "devtmpfs"},
	} {
		if err := os.MkdirAll(p.Target, 0o755); err != nil {
			return err
		}
		if err := (mount.System{}).Mount(p); err != nil && !errors.Is(err, unix.EBUSY) {
			return err
		}
	}
	if err := tune(); err != nil {
		return fmt.Errorf("start this program once more: %w", err)
	}
	if err := guest.Connect(); err != nil {
		return fmt.Errorf("set up the network: %w", err)
	}
	o, err := options()
	if err != nil {
		return err
	}
	digest, err := fetch.ParseDigest("sha256", o["sha256"])
	if err != nil {
		return err
	}
	rounds, err := strconv.Atoi(o["rounds"])
	if err != nil {
		return err
	}
	hashes := alg.Chooser{Proc: os.DirFS("/"), Load: func() error { return guest.LoadModule(alg.Module, "") }, Report: func(format string, args ...any) {
		fmt.Printf("fetchguest: "+format+"\n", args...)
	}}
	hash := func(algorithm string) hash.Hash { return hashes.Choose(algorithm, sha256.New()) }
	ways := []way{
		{"curl-dd", func() error { return guest.LoadModule("brd", "rd_nr=1 rd_size=2097152") }, func() error { return curl(o["url"]) }},
		{"plain", nil, func() error { return ours(o["url"], fetch.Digest{}, nil) }},
		{"sha256", nil, func() error { return ours(o["url"], digest, hash) }},
	}
	for range rounds {
		for _, w := range ways {
			took, err := w.measure()
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			fmt.Printf("fetchguest: %s %.3f\n", w.name, took.Seconds())
		}
	}
	return nil
}

// tune starts this program once more with what process 1 of liveboot gives its worker, since the Go runtime reads it when it starts.
func tune() error {
	environment := supervisor.Tuning(os.DirFS("/"))
	if len(environment) == 0 || os.Getenv("GODEBUG") != "" {
		return nil
	}
	return unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), environment...))
}

// options are what stands behind "fetchguest." on the kernel command line.
func options() (map[string]string, error) {
	text, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, err
	}
	o := make(map[string]string)
	for _, word := range strings.Fields(string(text)) {
		if option, ok := strings.CutPrefix(word, "fetchguest."); ok {
			name, value, _ := strings.Cut(option, "=")
			o[name] = value
		}
	}
	return o, nil
}

// way is a way to download.
type way struct {
	name string
	// prepare is not measured, nil if there is nothing to prepare: the reference has its RAM disk from the beginning, liveboot makes one that
	// fits the image.
	prepare func() error
	fill    func() error
}

// measure takes the time of a download, and leaves nothing of it.
func (w way) measure() (time.Duration, error) {
	if w.prepare != nil {
		if err := w.prepare(); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	err := w.fill()
	took := time.Since(began)
	return took, errors.Join(err, unix.DeleteModule("brd", 0))
}

// curl does what the reference does.
func curl(url string) error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	get, put := exec.Command("/usr/bin/curl", "-sf", url), exec.Command("/usr/bin/dd", "bs=32k", "of="+target.RAMDisk)
	get.Stdout, put.Stdin = write, read
	if err := errors.Join(put.Start(), get.Start(), read.Close(), write.Close()); err != nil {
		return err
	}
	return errors.Join(get.Wait(), put.Wait())
}

// ours does what liveboot does from the first question on.
func ours(url string, digest fetch.Digest, hash func(string) hash.Hash) error {
	ctx := context.Background()
	image, err := fetch.Open(ctx, fetch.Source{URLs: []fetch.URL{fetch.URL(url)}, Digest: digest}, fetch.Environment{Roots: "/", Hash: hash})
	if err != nil {
		return err
	}
	defer image.Close()
	disk, err := target.Prepare(target.Spec{Device: target.RAMDisk}, image.Size, target.Environment{
		LoadModule: guest.LoadModule, Size: block.Size,
		Memory: func() (memory.Info, error) { return memory.Read(os.DirFS("/")) },
		Open:   func(device string) (target.Writer, error) { return block.OpenWriter(device) },
	})
	if err != nil {
		return err
	}
	n, err := disk.Fill(ctx, image)
	if err == nil && n != image.Size {
		err = fmt.Errorf("%d bytes arrived, want %d", n, image.Size)
	}
	return err
}
