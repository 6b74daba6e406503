// Package debroot makes live ISOs of real Debian systems for the tests: installed by debootstrap, changed with commands that run in them, packed
// as KIWI packs them, and kept in the cache folder. Systems with the same packages share the installation.
package debroot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/qemu"
)

// Suite is the release of Debian that the roots are of.
const Suite = "bookworm"

// recipe is part of the name of everything in the cache: raise it when the same System makes another ISO.
const recipe = 1

// A System is what goes into an ISO.
type System struct {
	Name string
	// Packages are Debian's, beside those that every system has. debootstrap takes the first where one of several would do.
	Packages []string
	// Commands run in the root, by /bin/sh, with the network and the package manager of the building machine's mirror.
	Commands []string
	// Files are put into the root as they are, after the commands; what begins with "#!" becomes executable.
	Files fs.FS
}

// ISO returns the path of the ISO. When the cache does not hold it, it is built, which takes minutes, root and a source of Debian packages.
// The output of the programs goes to progress.
func ISO(ctx context.Context, s System, progress io.Writer) (string, error) {
	file, err := s.iso(ctx, progress)
	if err != nil {
		return "", fmt.Errorf("make live ISO %s: %w", s.Name, err)
	}
	return file, nil
}

func (s System) iso(ctx context.Context, progress io.Writer) (string, error) {
	cache, err := qemu.CacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "debroot")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	key, err := s.digest()
	if err != nil {
		return "", err
	}
	return once(filepath.Join(dir, fmt.Sprintf("%s-%x.iso", s.Name, key[:8])), func(work, made string) error {
		installed, err := s.installed(ctx, dir, progress)
		if err != nil {
			return err
		}
		root := filepath.Join(work, "root")
		if err := os.Mkdir(root, 0o755); err != nil {
			return err
		}
		if err := Run(ctx, progress, "tar", "-C", root, "-xf", installed); err != nil {
			return err
		}
		for _, command := range s.Commands {
			if err := Run(ctx, progress, "chroot", root, "/bin/sh", "-ec", command); err != nil {
				return err
			}
		}
		if err := s.adapt(root); err != nil {
			return err
		}
		return liveiso.Pack(ctx, liveiso.RootfsImage, root, 0, made)
	})
}

// digest is that of everything that the ISO is made from, but for the versions of the packages.
func (s System) digest() ([]byte, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s %q %q\n", recipe, s.Name, s.Packages, s.Commands)
	err := fs.WalkDir(s.Files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(s.Files, path)
		fmt.Fprintf(h, "%s %x\n", path, sha256.Sum256(content))
		return err
	})
	return h.Sum(nil), err
}

// installed is an archive of the root with its packages, as debootstrap leaves it.
func (s System) installed(ctx context.Context, dir string, progress io.Writer) (string, error) {
	key := sha256.Sum256(fmt.Appendf(nil, "%d %s %q", recipe, Suite, s.Packages))
	return once(filepath.Join(dir, fmt.Sprintf("installed-%x.tar.zst", key[:8])), func(work, made string) error {
		if os.Geteuid() != 0 {
			return errors.New("only root can install a Debian system: run the test once as root, the ISO is kept")
		}
		mirror, err := Mirror(ctx)
		if err != nil {
			return err
		}
		root, debs := filepath.Join(work, "root"), filepath.Join(dir, "debs")
		if err := errors.Join(os.Mkdir(root, 0o755), os.MkdirAll(debs, 0o755)); err != nil {
			return err
		}
		err = Run(ctx, progress, "debootstrap", "--variant=minbase", "--cache-dir="+debs, "--include="+strings.Join(s.Packages, ","), Suite, root, mirror)
		if err != nil {
			return err
		}
		return Run(ctx, progress, "tar", "-C", root, "--zstd", "-cf", made, ".")
	})
}

// once has a file made in a work folder of its own, unless it is there. Others that want the same file, in this process or another, wait.
func once(file string, do func(work, made string) error) (_ string, err error) {
	lock, err := os.OpenFile(file+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if _, err := os.Stat(file); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	work, err := os.MkdirTemp(filepath.Dir(file), "work-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	made := filepath.Join(work, "made")
	if err := do(work, made); err != nil {
		return "", err
	}
	return file, os.Rename(made, file)
}

// adapt adds the files and removes what only costs time and memory, or is of the building machine.
func (s System) adapt(root string) error {
	for _, path := range []string{
		"etc/hostname", "etc/resolv.conf", "var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info",
	} {
		if err := os.RemoveAll(filepath.Join(root, path)); err != nil {
			return err
		}
	}
	return Lay(s.Files, root)
}

// Lay puts files into a root, over what is there: scripts are executable, nothing else is.
func Lay(files fs.FS, root string) error {
	return fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(root, path)
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		content, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if bytes.HasPrefix(content, []byte("#!")) {
			mode = 0o755
		}
		return os.WriteFile(to, content, mode)
	})
}

// Mirror is where Debian's packages come from: LIVEBOOT_DEBIAN_MIRROR, or else what this machine's apt uses.
func Mirror(ctx context.Context) (string, error) {
	if m := os.Getenv("LIVEBOOT_DEBIAN_MIRROR"); m != "" {
		return m, nil
	}
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages", "Origin: Debian").Output()
	for line := range strings.Lines(string(out)) {
		if codename, uri, ok := strings.Cut(strings.TrimSpace(line), " "); ok && codename == Suite {
			return uri, nil
		}
	}
	return "", errors.Join(fmt.Errorf("apt has no source of Debian %s: run apt-get update, or set LIVEBOOT_DEBIAN_MIRROR to the URL of a Debian mirror", Suite), err)
}

// Run runs a program in a mount namespace of its own: however it ends, what it leaves mounted below the root is gone with it, and the folder
// can be removed.
func Run(ctx context.Context, progress io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = progress, progress
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return nil
}
