package handoff

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/kernel/memory"
	"github.com/liveboot/liveboot/pkg/kernel/mount"
)

// moved are the file systems that go with the machine, with all that is mounted below them. /run holds the live system's own devices and
// comes last, so that nothing below it is in use by us any more.
func moved() []string { return []string{"/dev", "/proc", "/sys", "/run"} }

// A Freed says what became of the initramfs's memory, in bytes: how much the machine had available before it was deleted, and how much after.
// What the program that runs still uses of it goes with the start of the live system's init.
type Freed struct{ Before, After int64 }

// SwitchRoot ends all other processes but those whose name begins with "@", makes r.Root the root folder of the process, frees the memory of the
// initramfs, reports that, and becomes r.Init with the arguments (those behind the program's name) and the environment given. It returns only with
// an error. The process is number 1 and its root the initramfs; anything else is refused before something is ended or deleted.
func SwitchRoot(r Ready, args, environment []string, report func(Freed)) error {
	old, err := checkInitramfs(r.Root)
	if err != nil {
		return fmt.Errorf("switch root: %w", err)
	}
	defer old.Close()
	if err := makeFolders(r.Root); err != nil {
		return fmt.Errorf("switch root: %w", err)
	}
	endProcesses()
	detachOthers(r.Root)
	before := spare()
	if err := moveMounts(mount.System{}, r.Root); err != nil {
		return fmt.Errorf("switch root: %w", err)
	}
	if err := enter(r.Root); err != nil {
		return fmt.Errorf("switch root: %w", err)
	}
	// From here on there is no way back, and none is needed: what fails to be deleted only keeps its memory.
	_ = removeTree(int(old.Fd()), ".")
	report(Freed{before, spare()})
	if err := useConsole("/dev/console"); err != nil {
		return fmt.Errorf("switch root: %w", err)
	}
	// It gives back the limit of open files too, which the Go runtime has raised for itself.
	if err := unix.Exec(r.Init, append([]string{r.Init}, args...), environment); err != nil {
		return fmt.Errorf("switch root: exec %s: %w", r.Init, err)
	}
	return nil
}

// spare is the memory that the machine has to spare, in bytes; a figure for people.
func spare() int64 {
	now, _ := memory.Read(os.DirFS("/"))
	return now.Available + memory.Kept(os.DirFS("/")) // where the kernel puts what is given back, at first
}

// checkInitramfs makes sure that what is about to be deleted is an initramfs, and returns its root folder, opened.
func checkInitramfs(newRoot string) (*os.File, error) {
	if os.Getpid() != 1 {
		return nil, fmt.Errorf("this is process %d, and only process 1 may hand the machine over", os.Getpid())
	}
	var fs unix.Statfs_t
	if err := unix.Statfs("/", &fs); err != nil {
		return nil, fmt.Errorf("look at the root: %w", err)
	}
	if fs.Type != unix.RAMFS_MAGIC && fs.Type != unix.TMPFS_MAGIC {
		return nil, fmt.Errorf("the root is no initramfs (file system type %#x)", fs.Type)
	}
	if _, err := os.Lstat("/init"); err != nil {
		return nil, fmt.Errorf("the root is no initramfs: %w", err)
	}
	old, err := device("/")
	if err != nil {
		return nil, err
	}
	next, err := device(newRoot)
	if err != nil {
		return nil, err
	}
	if old == next {
		return nil, fmt.Errorf("nothing is mounted at %s", newRoot)
	}
	return os.Open("/")
}

func device(path string) (uint64, error) {
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		return 0, fmt.Errorf("look at %s: %w", path, err)
	}
	return stat.Dev, nil
}

// makeFolders makes those in root to which the file systems are moved. A symbolic link in the place of one would lead out of root.
func makeFolders(root string) error {
	for _, folder := range moved() {
		target := filepath.Join(root, folder)
		info, err := os.Lstat(target)
		if errors.Is(err, os.ErrNotExist) {
			err = os.Mkdir(target, 0o755)
		} else if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s of the live system is not a folder but %v", folder, info.Mode().Type())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// moveMounts moves all or none.
func moveMounts(kernel mount.Mounter, root string) error {
	for i, folder := range moved() {
		err := kernel.Mount(mount.Point{Source: folder, Target: filepath.Join(root, folder), Flags: mount.Move})
		if err == nil {
			continue
		}
		for _, folder := range moved()[:i] {
			err = errors.Join(err, kernel.Mount(mount.Point{Source: filepath.Join(root, folder), Target: folder, Flags: mount.Move}))
		}
		return err
	}
	return nil
}

// enter makes root the root folder, on top of the one that was.
func enter(root string) error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := (mount.System{}).Mount(mount.Point{Source: ".", Target: "/", Flags: mount.Move}); err != nil {
		return err
	}
	return errors.Join(unix.Chroot("."), os.Chdir("/"))
}

// removeTree deletes what is in the folder name of the folder parent, on its own file system only: what is mounted below stays
// untouched. It goes on after errors and returns the first.
func removeTree(parent int, name string) error {
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	folder := os.NewFile(uintptr(fd), name)
	defer folder.Close()
	var self unix.Stat_t
	if err := unix.Fstat(fd, &self); err != nil {
		return err
	}
	names, first := folder.Readdirnames(-1)
	for _, child := range names {
		var stat unix.Stat_t
		err := unix.Fstatat(fd, child, &stat, unix.AT_SYMLINK_NOFOLLOW)
		switch {
		case err != nil:
		case stat.Dev != self.Dev:
			continue
		case stat.Mode&unix.S_IFMT == unix.S_IFDIR:
			if err = removeTree(fd, child); err == nil {
				err = unix.Unlinkat(fd, child, unix.AT_REMOVEDIR)
			}
		default:
			err = unix.Unlinkat(fd, child, 0)
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// useConsole gives the init the console as its standard files, one open file for all three, as the kernel does (init/main.c,
// console_on_rootfs). It is opened without the help of package os, which would make it non-blocking for good. A machine without a console has none.
func useConsole(path string) error {
	console, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(console)
	for fd := range 3 {
		if err := unix.Dup3(console, fd, 0); err != nil {
			return fmt.Errorf("use the console: %w", err)
		}
	}
	return nil
}
