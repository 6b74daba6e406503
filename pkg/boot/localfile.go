package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/deploy"
	"github.com/liveboot/liveboot/pkg/device/disk"
	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/kernel/loop"
	"github.com/liveboot/liveboot/pkg/kernel/mount"
	"github.com/liveboot/liveboot/pkg/live"
	"github.com/liveboot/liveboot/pkg/mkfs"
	"github.com/liveboot/liveboot/pkg/overlay"
	"github.com/liveboot/liveboot/pkg/plan"
	"github.com/liveboot/liveboot/pkg/probe"
	"github.com/liveboot/liveboot/pkg/target"
)

// scanFolder is where the file system with the ISO's file is mounted; dracut's iso-scan has it there.
const scanFolder = "run/initramfs/isoscan"

// A NoFileError says that no file system of the machine has the ISO's file.
type NoFileError struct {
	// Path is that of the file. Looked tells of each file system why it is not the one.
	Path   string
	Looked []string
}

// Error names all that was looked into.
func (e *NoFileError) Error() string {
	if len(e.Looked) == 0 {
		return fmt.Sprintf("find the file %s: the machine has no file system that could be looked into", e.Path)
	}
	return fmt.Sprintf("find the file %s: no file system of the machine has it; looked into %s", e.Path, strings.Join(e.Looked, "; "))
}

// scan looks for the ISO's file on all file systems of the machine, as long as another disk may still appear.
func (b *run) scan(ctx context.Context) (medium, string, error) {
	file := b.plan.Local.File
	slow := time.AfterFunc(5*time.Second, func() { b.ui.Warnf("waiting for a file system with %s, up to %.0f s", file, diskPatience.Seconds()) })
	ctx, cancel := context.WithTimeout(ctx, diskPatience)
	defer cancel()
	var found disk.Device
	looked := make(map[string]bool)
	missing := &NoFileError{Path: file}
	err := b.Disks.Watch(ctx, func(devices []disk.Device) bool {
		for _, d := range devices {
			if looked[d.String()] || len(d.Contents) == 0 || d.Contents[0].Kind != probe.KindFileSystem {
				continue
			}
			looked[d.String()] = true
			err := b.lookInto(d)
			if err == nil {
				found = d
				return true
			}
			missing.Looked = append(missing.Looked, fmt.Sprintf("%v: %v", d, err))
		}
		return false
	})
	slow.Stop() // to make the layer's file may take long, too
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return medium{}, "", missing
	case err != nil:
		return medium{}, "", fmt.Errorf("find the file %s: %w", file, err)
	}
	b.report.Device = found.Path
	m, err := b.fromFile(found)
	return m, fmt.Sprintf("%s on %s", file, name(found)), err
}

// lookInto mounts the file system on d, without changing a byte of it, and leaves it mounted if the ISO's file is there: others may belong to a
// system that hibernates.
func (b *run) lookInto(d disk.Device) error {
	if err := b.mountScanned(d, true); err != nil {
		return err
	}
	_, err := os.Stat(b.scanned(b.plan.Local.File))
	if err == nil {
		return nil
	}
	var short *fs.PathError
	if errors.As(err, &short) {
		err = short.Err // its path is of the initramfs
	}
	if undo := b.Mounter.Unmount(b.scanned("")); undo != nil {
		return fmt.Errorf("%w, and then: %w", err, undo)
	}
	return err
}

// scanned is where a path of the file system with the ISO is.
func (b *run) scanned(path string) string { return filepath.Join(b.Root, scanFolder, path) }

// mountScanned mounts the file system on d; untouched leaves every byte of it as it is.
func (b *run) mountScanned(d disk.Device, untouched bool) error {
	how := accessTo(d.Contents[0].Name)
	point := mount.Point{Source: d.Path, Target: b.scanned(""), Type: how.driver, Data: how.options}
	if untouched {
		point.Flags = mount.ReadOnly
		point.Data = strings.Join(slices.DeleteFunc([]string{how.options, how.untouched}, func(o string) bool { return o == "" }), ",")
	}
	if err := errors.Join(os.MkdirAll(point.Target, 0o755), b.loadModule("fs-"+how.driver)); err != nil {
		return err
	}
	for _, set := range how.characters {
		if err := b.loadModule(set); err != nil {
			b.ui.Debugf("%v", err) // the kernel knows whether it needs it
		}
	}
	return b.Mounter.Mount(point)
}

// access is how the kernel mounts a kind of file system.
type access struct {
	// driver is its name for mount(2).
	driver string
	// options go with every mount, untouched with one that is read-only and replays no log either.
	options, untouched string
	// characters are modules that the driver would have modprobe(8) load.
	characters []string
}

// accessTo is for file systems by the names that package probe gives them. The options are those of the kernel's Documentation/filesystems.
func accessTo(found string) access {
	switch found {
	case "ext2", "ext3", "ext4":
		return access{driver: "ext4", untouched: "noload"}
	case "xfs":
		return access{driver: "xfs", untouched: "norecovery"}
	case "btrfs":
		return access{driver: "btrfs", untouched: "rescue=nologreplay"}
	case "vfat":
		// The defaults differ from kernel to kernel; long names are in UTF-8 with any of them.
		return access{driver: "vfat", options: "codepage=437,iocharset=ascii,utf8=1", characters: []string{"nls_cp437", "nls_ascii"}}
	case "ntfs":
		return access{driver: "ntfs3"}
	}
	return access{driver: found}
}

// fromFile returns the medium in the ISO's file, whose file system d is mounted.
func (b *run) fromFile(d disk.Device) (medium, error) {
	path := b.scanned(b.plan.Local.File)
	size, err := b.isoSize(path)
	if err != nil {
		return medium{}, fmt.Errorf("%s on %v: %w", b.plan.Local.File, d, err)
	}
	m := medium{Medium: live.Medium{Device: path, Size: size, Buffered: d.SectorSize > iso.SectorSize}}
	if b.plan.Overlay.Persistence == overlay.Volatile {
		return m, nil
	}
	m.layer, err = b.layerBeside(d)
	if err != nil {
		m.layer, err = overlay.Layer{}, b.kept(fmt.Errorf("%s on %s: %w", b.plan.Local.LayerFile, name(d), err))
	}
	return m, err
}

// layerBeside mounts the file system on d once more, to be written to, and returns the layer in a file on it.
func (b *run) layerBeside(d disk.Device) (overlay.Layer, error) {
	if d.ReadOnly {
		return overlay.Layer{}, fmt.Errorf("%s cannot be written to", d.Path)
	}
	err := b.Mounter.Unmount(b.scanned(""))
	if err == nil {
		err = b.mountScanned(d, false)
	}
	if err != nil {
		if again := b.mountScanned(d, true); again != nil {
			err = fmt.Errorf("%w, and then: %w", err, again)
		}
		return overlay.Layer{}, err
	}
	path := b.scanned(b.plan.Local.LayerFile)
	_, err = os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = b.makeLayerFile(path)
	}
	if err != nil {
		return overlay.Layer{}, err
	}
	// Blocks of a loop device that passes by the cache are as large as the disk's sectors, and those of a small file system may be smaller.
	return b.layerIn(loop.Config{File: path, Writable: true, DirectIO: d.SectorSize <= iso.SectorSize})
}

// layerIn makes a block device of the file that keeps what the live system writes.
func (b *run) layerIn(c loop.Config) (overlay.Layer, error) {
	f, err := b.Open(c.File)
	if err != nil {
		return overlay.Layer{}, err
	}
	kind, err := probe.FileSystem(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return overlay.Layer{}, err
	}
	if err := b.loadModule("loop"); err != nil {
		return overlay.Layer{}, err
	}
	device, err := b.Loops.Attach(c)
	return overlay.Layer{Device: device, FileSystem: kind}, err
}

// makeLayerFile makes the file that keeps what the live system writes. It has another name until it is whole, so that a loss of power leaves
// nothing that looks like it.
func (b *run) makeLayerFile(path string) error {
	kinds := mkfs.Formatters()
	i := slices.IndexFunc(kinds, func(f mkfs.Formatter) bool { return f.Name == b.plan.Overlay.FileSystem })
	if i < 0 {
		return fmt.Errorf("make a file system %s: %w", b.plan.Overlay.FileSystem, errors.ErrUnsupported)
	}
	size := b.plan.Local.LayerSize
	if size < kinds[i].MinSize {
		return fmt.Errorf("%s needs %s, and the file is to have %s", kinds[i].Name, target.MiB(kinds[i].MinSize), target.MiB(size))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	b.ui.Stagef(string(plan.Target), "making %s, %s, for what the live system writes", filepath.Base(path), target.MiB(size))
	unfinished := path + ".new"
	err := fillLayerFile(unfinished, size, kinds[i])
	if err == nil {
		err = os.Rename(unfinished, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(unfinished))
	}
	return syncFolder(filepath.Dir(path))
}

// fillLayerFile makes a file of size bytes with an empty file system.
func fillLayerFile(path string, size int64, kind mkfs.Formatter) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	// The place is taken at once: it is better not to begin than to lose what was written when there is none left.
	err = unix.EINTR
	for errors.Is(err, unix.EINTR) {
		err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = f.Truncate(size)
	}
	if err != nil {
		return fmt.Errorf("make %s of %s: %w", filepath.Base(path), target.MiB(size), err)
	}
	if err := kind.Format(f, size, mkfs.Options{Label: deploy.LayerLabel}); err != nil {
		return err
	}
	return f.Sync()
}

// syncFolder waits until the names in a folder are on the disk.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
