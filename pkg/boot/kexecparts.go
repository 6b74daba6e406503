package boot

import (
	"bytes"
	"context"
	"encoding/json"
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
	"github.com/liveboot/liveboot/pkg/kernel/kexec"
	"github.com/liveboot/liveboot/pkg/kernel/memory"
	"github.com/liveboot/liveboot/pkg/kernelimage"
	"github.com/liveboot/liveboot/pkg/overlay"
	"github.com/liveboot/liveboot/pkg/plan"
	"github.com/liveboot/liveboot/pkg/repack"
	"github.com/liveboot/liveboot/pkg/target"
)

// A KexecMemoryError says that another kernel and its initramfs do not fit into the memory beside the running ones. In bytes.
type KexecMemoryError struct{ Needed, Available int64 }

// Error gives both.
func (e *KexecMemoryError) Error() string {
	return fmt.Sprintf("it needs %s of memory, and %s are available", target.MiB(e.Needed), target.MiB(e.Available))
}

// nextModules gets the modules of the image's kernel that the boot wants under it.
func (b *run) nextModules(ctx context.Context, image pieces, kernel *isokernel.Kernel) (*isokernel.Taken, error) {
	wish, err := b.wish(ctx)
	if err != nil {
		return nil, err
	}
	var done, all atomic.Int64
	all.Store(-1)
	stop := b.showProgress(plan.Handoff, func() (int64, int64) { return done.Load(), all.Load() })
	defer stop()
	taken, err := isokernel.Modules(ctx, kernel, isokernel.Source{
		Running: os.DirFS(filepath.Join(b.Root, "lib/modules", b.Release)),
		Root:    func() (fs.FS, error) { return isokernel.Root(image, b.plan.Live) },
		Progress: func(n, size int64) {
			done.Store(n)
			all.Store(size)
		},
	}, wish)
	if err != nil {
		return nil, err
	}
	b.ui.Debugf("handoff: modules for it: %s", strings.Join(taken.Modules, " "))
	if len(taken.LeftOut) > 0 {
		b.ui.Debugf("handoff: not to be had for it: %s", strings.Join(taken.LeftOut, " "))
	}
	return taken, nil
}

// wish is what the boot needs of the other kernel's modules.
func (b *run) wish(ctx context.Context) (isokernel.Wish, error) {
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
		if card, driver, modalias := card(b.Sys, b.network.Primary().Link.Name); driver != "" {
			needed = append(needed, need("the network card "+card, driver, modalias))
		}
	}
	names := slices.Concat(b.plan.Devices.First, loaded(b.Proc), devices, []string{
		"fs-ext4", "fs-xfs", "fs-erofs", "fs-vfat", "fs-btrfs", "fs-udf", "nls_iso8859_1", "nls_cp437", "nls_utf8",
		"8021q", "bonding", "bridge", "aoe", "sd_mod", "sr_mod", "usb_storage", "uas", "usbhid", "hid_generic",
	})
	return isokernel.Wish{Needed: needed, Names: names}, nil
}

// card returns the driver of a network card, and what the card says of itself; nothing if the driver is built in, or the link is no card.
func card(sys fs.FS, link string) (name, driver, modalias string) {
	device := "class/net/" + link + "/device/"
	target, err := fs.ReadLink(sys, device+"driver/module")
	if err != nil {
		return link, "", ""
	}
	text, err := fs.ReadFile(sys, device+"modalias")
	if err != nil {
		return link, path.Base(target), ""
	}
	return link, path.Base(target), strings.TrimSpace(string(text))
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
func (b *run) nextInitramfs(ctx context.Context, kernel *isokernel.Kernel, taken *isokernel.Taken, why string, received int64) (*os.File, error) {
	state, err := b.leave(why, received)
	if err != nil {
		return nil, err
	}
	image, err := repack.Open(ctx, repack.Spec{
		Root: b.Root, Omit: repack.Own(b.Release),
		Trees: []repack.Tree{{At: "lib/modules/" + kernel.Info.Release, FS: taken.FS}, {FS: state}},
	})
	if err != nil {
		return nil, err
	}
	if err := b.fitsKexec(2*(image.Size()+kernel.Image.Size) + kernel.Info.Memory); err != nil {
		return nil, err
	}
	return kexec.NewFile("initramfs", func(w io.Writer) error { return image.Write(ctx, w) })
}

// fitsKexec looks whether there is memory for the other kernel and its initramfs: each twice, as a file and where kexec_file_load(2) keeps it, and
// what the kernel needs while it starts. In bytes.
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
	left := Previous{Kernel: b.Release, Why: why, Uptime: b.Uptime().Seconds(), RTC: rtc(b.Sys), Bytes: received, Stages: b.report.Stages}
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
	defer whole.Close()
	if err := kernelimage.Verify(ctx, whole, kernel.Image.Size, kernel.Info); err != nil {
		return nil, err
	}
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

// nextCommandLine is that of the running kernel, behind the options of the image's boot entry where they are wanted: of an option that both have,
// the one that stands later counts.
func (b *run) nextCommandLine(kernel *isokernel.Kernel) (string, error) {
	text, err := fs.ReadFile(b.Proc, "proc/cmdline")
	if err != nil {
		return "", err
	}
	line := strings.TrimSpace(string(text))
	if b.plan.Handoff.Append && kernel.Options != "" {
		line = kernel.Options + " " + line
	}
	if most := kernel.Info.CommandLineMax; most > 0 && len(line) > most {
		return "", fmt.Errorf("the kernel command line has %d bytes, and the other kernel takes %d", len(line), most)
	}
	return line, nil
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
