package handoff

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/kernel/module"
)

// trigger is the unit of systemd's udev that has the drivers of all devices loaded when the system starts.
const trigger = "systemd-udev-trigger.service"

// ColdPlugs reports whether the live system whose process 1 is init, with these words on the kernel's command line, loads the drivers of all devices by
// itself when it starts: whether it is systemd with its udev. Of another system nobody knows.
func ColdPlugs(root, init string, line []string) bool {
	for _, word := range line {
		// Such a system may be without sysinit.target, which wants the trigger: bootup(7), kernel-command-line(7).
		if slices.Contains([]string{"emergency", "-b"}, word) || strings.HasPrefix(word, "systemd.unit=") || strings.HasPrefix(word, "systemd.mask=") {
			return false
		}
	}
	f, err := openIn(root, init)
	if err != nil {
		return false
	}
	defer f.Close()
	program, err := pathIn(root, f)
	if err != nil || path.Base(program) != "systemd" {
		return false
	}
	masked, err := lookup(root, path.Join("/etc/systemd/system", trigger), unix.O_PATH|unix.O_NOFOLLOW)
	if err == nil {
		masked.Close()
		return false
	}
	wanted, err := openIn(root, path.Join(path.Dir(program), "system/sysinit.target.wants", trigger))
	if err != nil {
		return false
	}
	wanted.Close()
	return true
}

// HasModules reports whether the live root has all these modules, by their names, for the kernel version, or that kernel has them built in.
func HasModules(root, version string, names []string) (bool, error) {
	lacking := slices.Clone(names)
	for _, list := range []string{"modules.dep", "modules.builtin"} {
		f, err := openIn(root, path.Join("/lib/modules", version, list))
		if err != nil {
			return false, fmt.Errorf("look for the live system's modules: %w", err)
		}
		text, err := readWhole(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return false, fmt.Errorf("look for the live system's modules: %w", err)
		}
		// Of "kernel/a/b-c.ko.xz: kernel/d/e.ko.xz" each file has a line of its own, so it does not matter where it is named. To take the lines apart
		// would take an emulated machine a tenth of a second.
		text = bytes.ReplaceAll(text, []byte("-"), []byte("_"))
		lacking = slices.DeleteFunc(lacking, func(name string) bool {
			return bytes.Contains(text, []byte("/"+module.Name(name)+".ko"))
		})
		if len(lacking) == 0 {
			return true, nil
		}
	}
	return false, nil
}

// indexMax bounds what is read of a file of the live root, in bytes: the largest index of a distribution has 2 MB.
const indexMax = 64 << 20

// readWhole reads f into one buffer of its size.
func readWhole(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > indexMax {
		return nil, fmt.Errorf("%s: is not a file of at most %d bytes", f.Name(), indexMax)
	}
	text := make([]byte, info.Size())
	_, err = io.ReadFull(f, text)
	return text, err
}

// ModuleVersions returns the kernels whose modules the live root has, by their versions as uname -r prints them: the folders of /lib/modules
// that hold the index modules.dep. A root without modules is no error.
func ModuleVersions(root string) ([]string, error) {
	const folder = "/lib/modules"
	f, err := openIn(root, folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for the live system's modules: %w", err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("look for the live system's modules: %w", err)
	}
	names = slices.DeleteFunc(names, func(version string) bool {
		var index *os.File
		if index, err = openIn(root, path.Join(folder, version, "modules.dep")); err == nil {
			index.Close()
		}
		return err != nil
	})
	slices.Sort(names)
	return names, nil
}
