package boot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/liveboot/liveboot/pkg/fstree"
	"github.com/liveboot/liveboot/pkg/isokernel"
	"github.com/liveboot/liveboot/pkg/kernel/alg"
	"github.com/liveboot/liveboot/pkg/kernel/kexec"
	"github.com/liveboot/liveboot/pkg/kernel/memory"
	"github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/pkg/kernelimage"
	"github.com/liveboot/liveboot/pkg/overlay"
	"github.com/liveboot/liveboot/pkg/plan"
	"github.com/liveboot/liveboot/pkg/repack"
	"github.com/liveboot/liveboot/pkg/stream/daemon"
	"github.com/liveboot/liveboot/pkg/target"
)

// A KexecMemoryError says that another kernel and its initramfs do not fit into the memory beside the running ones. In bytes.
type KexecMemoryError struct{ Needed, Available int64 }

// Error gives both.
func (e *KexecMemoryError) Error() string {
	return fmt.Sprintf("it needs %s of memory, and %s are available", target.MiB(e.Needed), target.MiB(e.Available))
}

// nextModules gets the modules of the image's kernel that the boot wants under it.
func (b *run) nextModules(ctx context.Context, image *pieces, next *another) (*isokernel.Taken, error) {
	wish, err := b.wish(ctx)
	if err != nil {
		return nil, err
	}
	var done, all atomic.Int64
	all.Store(-1)
	stop := b.showProgress(plan.Handoff, func() (int64, int64) { return done.Load(), all.Load() })
	defer stop()
	taken, err := isokernel.Modules(ctx, next.kernel, isokernel.Source{
		Running: os.DirFS(filepath.Join(b.Root, "lib/modules", b.Release)),
		Root: func() (fs.FS, error) {
			if next.root != nil {
				return next.root, nil
			}
			return isokernel.Root(image, b.plan.Live)
		},
		Progress: func(n, size int64) {
			done.Store(n)
			all.Store(size)
		},
	}, wish)
	if err != nil {
		return nil, err
	}
	b.ui.Debugf("handoff: modules for it: %s; of them out of the live root: %s", strings.Join(taken.Modules, " "), strings.Join(taken.FromRoot, " "))
	if len(taken.LeftOut) > 0 {
		b.ui.Debugf("handoff: not to be had for it: %s%s", strings.Join(taken.LeftOut, " "), but(taken.RootErr))
	}
	return taken, nil
}

// wish is what the boot needs of the other kernel's modules.
func (b *run) wish(ctx context.Context) (isokernel.Wish, error) {
	b.allDrivers(ctx)
	devices, err := b.devices.Aliases(ctx)
	if err != nil {
		return isokernel.Wish{}, err
	}
	need := func(why string, names ...string) isokernel.Need { return isokernel.Need{Names: names, Why: why} }
	needed := []isokernel.Need{
		need("the container in the image", "loop"), need("the container in the image", "fs-squashfs", "fs-erofs"),
		need("the image", "fs-iso9660"), need("the writable root", "fs-overlay"),
	}
	if b.plan.Target.Device == target.RAMDisk && !b.plan.Local.There() {
		needed = append(needed, need("the RAM disk", "brd"))
	}
	if b.plan.Overlay.Persistence != overlay.Volatile {
		needed = append(needed, need("what the live system writes", "fs-"+b.plan.Overlay.FileSystem))
	}
	if b.network != nil {
		needed = append(needed, linkNeeds(b.Sys, b.network.Primary().Link.Name)...)
	}
	if disk := b.report.Device; disk != "" && disk != target.RAMDisk {
		needed = append(needed, deviceNeeds(b.Sys, "class/block/"+path.Base(disk), "the disk "+disk)...)
	}
	if b.plan.Local.AoE {
		needed = append(needed, need("the disk behind the network", "aoe"))
	}
	names := slices.Concat(b.plan.Devices.First, loaded(b.Proc), devices, []string{
		"fs-ext4", "fs-xfs", "fs-erofs", "fs-vfat", "fs-btrfs", "fs-udf", "nls_iso8859_1", "nls_cp437", "nls_utf8",
		"8021q", "bonding", "bridge", "aoe", "sd_mod", "sr_mod", "usb_storage", "uas", "usbhid", "hid_generic", alg.Module,
	})
	if b.plan.Stream.Wanted() {
		for _, m := range daemon.Modules() {
			names = append(names, m.Name)
		}
	}
	return isokernel.Wish{Needed: needed, Names: names}, nil
}

// linkNeeds are the drivers of a link: of the card, or, of a bond, a bridge or a VLAN, its own and those of what it is made of.
func linkNeeds(sys fs.FS, link string) []isokernel.Need {
	folder := "class/net/" + link
	needs := deviceNeeds(sys, folder+"/device", "the network card "+link)
	if text, err := fs.ReadFile(sys, folder+"/uevent"); err == nil {
		kinds := map[string]string{"bond": "bonding", "bridge": "bridge", "vlan": "8021q"}
		for line := range strings.Lines(string(text)) {
			if kind, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVTYPE="); ok && kinds[kind] != "" {
				needs = append(needs, isokernel.Need{Names: []string{kinds[kind]}, Why: "the network link " + link})
			}
		}
	}
	entries, err := fs.ReadDir(sys, folder)
	if err != nil {
		return needs
	}
	for _, e := range entries {
		if lower, ok := strings.CutPrefix(e.Name(), "lower_"); ok {
			needs = append(needs, linkNeeds(sys, lower)...)
		}
	}
	return needs
}

// deviceNeeds are the drivers, as far as they are modules, of a device and of all that it hangs on, as /sys/devices has them one in the other.
func deviceNeeds(sys fs.FS, name, why string) []isokernel.Need {
	// The name leads there through symbolic links, at its end (class/block/sda) or before (class/net/eth0/device).
	place := "."
	for part := range strings.SplitSeq(name, "/") {
		place = path.Join(place, part)
		if to, err := fs.ReadLink(sys, place); err == nil && !path.IsAbs(to) {
			place = path.Join(path.Dir(place), to)
		}
	}
	var needs []isokernel.Need
	for ; strings.HasPrefix(place, "devices/"); place = path.Dir(place) {
		module, err := fs.ReadLink(sys, place+"/driver/module")
		if err != nil {
			continue
		}
		need := isokernel.Need{Names: []string{path.Base(module)}, Why: why}
		if modalias, err := fs.ReadFile(sys, place+"/modalias"); err == nil {
			need.Names = append(need.Names, strings.TrimSpace(string(modalias)))
		}
		needs = append(needs, need)
	}
	return needs
}

// loaded are the modules that the running kernel has loaded, by their names.
func loaded(proc fs.FS) []string {
	text, err := fs.ReadFile(proc, "proc/modules")
	if err != nil {
		return nil // a kernel without modules
	}
	var names []string
	for line := range bytes.Lines(text) {
		name, _, _ := bytes.Cut(line, []byte(" "))
		names = append(names, string(name))
	}
	return names
}

// nextInitramfs makes the other kernel's initramfs: what is in this one, the modules, and what is to be known of this boot.
func (b *run) nextInitramfs(ctx context.Context, image *pieces, next *another, taken *isokernel.Taken) (*os.File, error) {
	var received int64
	if image.received != nil {
		received = image.received()
	}
	state, err := b.leave(next.why, received)
	if err != nil {
		return nil, err
	}
	kernel := next.kernel
	archive, err := repack.Open(ctx, repack.Spec{
		Root: b.Root, Omit: repack.Own(b.Release, module.InstalledProgram(b.Root)),
		Trees: []repack.Tree{{At: "lib/modules/" + kernel.Info.Release, FS: taken.FS}, {FS: state}},
	})
	if err != nil {
		return nil, err
	}
	// The kernel is there as a file already.
	if err := b.fitsKexec(2*archive.Size() + kernel.Image.Size + kernel.Info.Memory); err != nil {
		return nil, err
	}
	return kexec.NewFile("initramfs", func(w io.Writer) error { return archive.Write(ctx, w) })
}

// fitsKexec looks whether size bytes fit into the memory beside what is there. Of kernel and initramfs there are two copies at last: a file, and where
// kexec_file_load(2) keeps it.
func (b *run) fitsKexec(size int64) error {
	info, err := memory.Read(b.Proc)
	if err != nil {
		return err
	}
	if needed := size + target.Headroom; needed > info.Available {
		return &KexecMemoryError{needed, info.Available}
	}
	return nil
}

// leave returns the files that tell the next kernel of this boot.
func (b *run) leave(why string, received int64) (fs.FS, error) {
	b.mu.Lock()
	left := Previous{Kernel: b.Release, Why: why, Uptime: b.Uptime().Seconds(), RTC: rtc(b.Sys), Bytes: received, Stages: b.report.Stages, Deployed: b.deployed}
	b.mu.Unlock()
	if b.network != nil {
		left.Addresses = addresses(b.network.Active())
	}
	text, err := json.MarshalIndent(left, "", "  ")
	if err != nil {
		return nil, err
	}
	files := fstree.NewMemory()
	if err := files.Add(previousPath, 0o644, time.Time{}, text); err != nil {
		return nil, err
	}
	return fstree.New(files), nil
}

// kernelFile returns the kernel as a file in memory, in the form that kexec_file_load(2) takes.
// It was verified: kexec_file_load(2) itself takes a damaged one.
func kernelFile(ctx context.Context, kernel *isokernel.Kernel) (*os.File, error) {
	whole, err := kexec.NewFile("image's kernel", copying(io.NewSectionReader(kernel.Image, 0, kernel.Image.Size)))
	if err != nil {
		return nil, err
	}
	if err := kernelimage.Verify(ctx, whole, kernel.Image.Size, kernel.Info); err != nil {
		return nil, errors.Join(err, whole.Close())
	}
	if kernel.Info.Format == kernelimage.BzImage {
		return whole, nil
	}
	defer whole.Close()
	r, err := kernelimage.Loadable(whole, kernel.Image.Size, kernel.Info)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return kexec.NewFile("kernel", copying(r))
}

func copying(r io.Reader) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	}
}

// nextCommandLine is that of the running kernel, behind the options of the image's boot entry where they are wanted and fit: of an option that both
// have, the one that stands later counts.
func (b *run) nextCommandLine(kernel *isokernel.Kernel) (string, error) {
	text, err := fs.ReadFile(b.Proc, "proc/cmdline")
	if err != nil {
		return "", err
	}
	line := strings.TrimSpace(string(text))
	most := kexec.CommandLineMax
	if own := kernel.Info.CommandLineMax; own > 0 {
		most = min(most, own)
	}
	if len(line) > most {
		return "", &kexec.LoadError{Reason: kexec.CommandLine, Err: fmt.Errorf("it has %d bytes, and the other kernel takes %d", len(line), most)}
	}
	if !b.plan.Handoff.Append || kernel.Options == "" {
		return line, nil
	}
	both := kernel.Options + " " + line
	if len(both) > most {
		b.ui.Warnf("rd.liveboot.append=iso: the options of the image's boot entry are left out, since with them the line would have %d bytes of at most %d", len(both), most)
		return line, nil
	}
	return both, nil
}

// rtc is the time of the machine's clock in seconds since 1970, 0 if it has none. Unlike the kernel's own, nobody corrects it during a boot.
func rtc(sys fs.FS) int64 {
	text, err := fs.ReadFile(sys, "class/rtc/rtc0/since_epoch")
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n
}
