package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/liveboot/liveboot/integration/guest"
	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/handoff"
	"github.com/liveboot/liveboot/pkg/kernel/block"
	"github.com/liveboot/liveboot/pkg/kernel/loop"
	"github.com/liveboot/liveboot/pkg/kernel/memory"
	"github.com/liveboot/liveboot/pkg/kernel/mount"
	"github.com/liveboot/liveboot/pkg/live"
	"github.com/liveboot/liveboot/pkg/overlay"
	"github.com/liveboot/liveboot/pkg/stream/daemon"
	"github.com/liveboot/liveboot/pkg/target"
)

// newRoot is where the live root is mounted before process 1 switches to it.
const newRoot = "/sysroot"

// begin is the initramfs.
func begin() error {
	for _, p := range []mount.Point{
		{Source: "proc", Target: "/proc", Type: "proc"}, {Source: "sysfs", Target: "/sys", Type: "sysfs"},
		{Source: "devtmpfs", Target: "/dev", Type: "devtmpfs"}, {Source: "tmpfs", Target: "/run", Type: "tmpfs", Data: "mode=0755"},
	} {
		if err := os.MkdirAll(p.Target, 0o755); err != nil {
			return err
		}
		if err := (mount.System{}).Mount(p); err != nil {
			return err
		}
	}
	if err := guest.Connect(); err != nil {
		return fmt.Errorf("set up the network: %w", err)
	}
	o, err := options()
	if err != nil {
		return err
	}
	began := time.Now()
	ready, process, err := start(o)
	if err != nil {
		return err
	}
	say("ready after %.3f s", time.Since(began).Seconds())
	if err := mountLive(ready.Device); err != nil {
		return err
	}
	say("mounted after %.3f s", time.Since(began).Seconds())
	if err := process.Send(daemon.Command{Fill: true}); err != nil {
		return err
	}
	if o["init"] != "" {
		return handoff.SwitchRoot(handoff.Ready{Root: newRoot, Init: o["init"]}, nil, os.Environ(), func(handoff.Freed) {})
	}
	return handoff.SwitchRoot(handoff.Ready{Root: newRoot, Init: "/streamguest"}, []string{second}, os.Environ(), func(handoff.Freed) {})
}

// options are what stands behind "streamguest." on the kernel command line.
func options() (map[string]string, error) {
	text, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, err
	}
	o := make(map[string]string)
	for _, word := range strings.Fields(string(text)) {
		if option, ok := strings.CutPrefix(word, "streamguest."); ok {
			name, value, _ := strings.Cut(option, "=")
			o[name] = value
		}
	}
	return o, nil
}

// start starts the streaming process for the image, and waits until the device is there.
func start(o map[string]string) (ready daemon.Ready, process *daemon.Process, err error) {
	job := daemon.Job{Mapped: "live", Reboot: o["reboot"] != "", Source: fetch.Source{URLs: []fetch.URL{fetch.URL(o["url"])}}}
	if hex := o["sha256"]; hex != "" {
		job.Source.Digest = fetch.Digest{Algorithm: "sha256", Hex: hex}
	}
	for name, to := range map[string]*int64{"rate": &job.Rate, "chunk": &job.ChunkSize, "ahead": &job.Ahead, "memory": &job.Memory} {
		if o[name] == "" {
			continue
		}
		if *to, err = strconv.ParseInt(o[name], 10, 64); err != nil {
			return ready, nil, err
		}
	}
	if u := o["chunks"]; u != "" {
		answer, err := http.Get(u)
		if err != nil {
			return ready, nil, err
		}
		defer answer.Body.Close()
		if job.Chunks, err = io.ReadAll(answer.Body); err != nil {
			return ready, nil, err
		}
	}
	for _, module := range daemon.Modules() {
		if err := guest.LoadModule(module.Name, module.Parameters); err != nil {
			return ready, nil, err
		}
	}
	if o["lazy"] == "" {
		if err := ramDisk(job.Source); err != nil {
			return ready, nil, err
		}
		job.Device = target.RAMDisk
	}
	return run(job)
}

// ramDisk makes a RAM disk of the image's size.
func ramDisk(s fetch.Source) error {
	image, err := fetch.OpenRanges(context.Background(), s, fetch.Environment{Roots: "/"})
	if err != nil {
		return err
	}
	defer image.Close()
	_, err = target.Prepare(target.Spec{Device: target.RAMDisk}, image.Size, target.Environment{
		LoadModule: guest.LoadModule, Size: block.Size,
		Memory: func() (memory.Info, error) { return memory.Read(os.DirFS("/")) },
	})
	return err
}

// run starts the process with the job, and waits until the device is there.
func run(job daemon.Job) (ready daemon.Ready, process *daemon.Process, err error) {
	if process, err = daemon.Start("/proc/self/exe", os.Environ(), job); err != nil {
		return ready, nil, err
	}
	for {
		switch m, err := process.Receive(); {
		case err != nil:
			return ready, nil, fmt.Errorf("the streaming process: %w", err)
		case m.Failed != "":
			return ready, nil, fmt.Errorf("the streaming process: %s", m.Failed)
		case m.Ready != nil:
			return *m.Ready, process, nil
		}
	}
}

// mountLive mounts the live root, with this program in it.
func mountLive(device string) error {
	mounter, loader := mount.System{}, func(name string) error { return guest.LoadModule(name, "") }
	spec, base := overlay.Spec{Size: "50%"}, live.DefaultBase
	if err := overlay.MountTmpfs(spec, base, overlay.Environment{Mounter: mounter, LoadModule: loader}); err != nil {
		return err
	}
	root, err := live.Mount(live.Spec{Dir: "LiveOS", Container: "squashfs.img"}, live.Medium{Device: device}, live.Paths{Base: base}, live.Environment{
		Mounter: mounter, Attacher: loop.System{}, LoadModule: loader,
		Open: func(path string) (live.File, error) { return os.Open(path) },
	})
	if err != nil {
		return err
	}
	if err := overlay.Mount(spec, root.Path, base, newRoot, overlay.Environment{Mounter: mounter, LoadModule: loader}); err != nil {
		return err
	}
	program, err := os.ReadFile("/init")
	if err != nil {
		return err
	}
	return os.WriteFile(newRoot+"/streamguest", program, 0o755)
}
