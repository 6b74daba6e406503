// Package handoff gives the machine away to the live system.
//
// Check finds the program that will be process 1 and makes sure, before anything is destroyed, that the kernel can run it. SwitchRoot does
// the irreversible: it deletes the initramfs and becomes that program.
package handoff

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// A Spec says what to hand over to.
type Spec struct {
	// Init is the program, as a path in the live root; empty means the first of DefaultInits that is there.
	Init string
}

// DefaultInits are the places of process 1 in the order in which they are tried: the one that all distributions keep, then those
// of systemd, for images that lack the link.
func DefaultInits() []string {
	return []string{"/sbin/init", "/usr/lib/systemd/systemd", "/lib/systemd/systemd", "/etc/init", "/bin/init"}
}

// Ready is a live root whose init was checked.
type Ready struct {
	// Root is where the live root is mounted.
	Root string
	// Init is the program's path in it.
	Init string
}

// InitError says why a program cannot be process 1.
type InitError struct {
	Path string
	err  error
}

// Error names the program.
func (e *InitError) Error() string {
	return fmt.Sprintf("init %s of the live system: %v", e.Path, e.err)
}

// Unwrap returns the cause.
func (e *InitError) Unwrap() error { return e.err }

// Check looks for the init of s in root. Its error is an *InitError.
func Check(s Spec, root string) (Ready, error) {
	candidates := DefaultInits()
	if s.Init != "" {
		candidates = []string{s.Init}
	}
	var missing error
	for _, path := range candidates {
		err := checkProgram(root, path, 0)
		if err == nil {
			return Ready{root, path}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || s.Init != "" {
			return Ready{}, &InitError{path, err}
		}
		if missing == nil {
			missing = &InitError{strings.Join(candidates, ", "), err}
		}
	}
	return Ready{}, missing
}

// maxInterpreters bounds a script that names a script that names a script: the kernel's own limit (BINPRM_MAX_RECURSION is 4).
const maxInterpreters = 4

// checkProgram makes sure that the kernel can execute path in root: a regular file with an x bit, an ELF program of this machine
// whose interpreter is there too, or a script whose interpreter is such a program.
func checkProgram(root, path string, depth int) error {
	if depth > maxInterpreters {
		return errors.New("too many interpreters, one in another")
	}
	f, err := openIn(root, path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("is not a regular file but %v", info.Mode().Type())
	case info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("is not executable (mode %v)", info.Mode().Perm())
	}
	interpreter, err := interpreterOf(f)
	if err != nil || interpreter == "" {
		return err
	}
	if err := checkProgram(root, interpreter, depth+1); err != nil {
		return fmt.Errorf("its interpreter %s: %w", interpreter, err)
	}
	return nil
}

// openIn opens path as a process would see it whose root folder is root: absolute symbolic links start there too.
func openIn(root, path string) (*os.File, error) {
	folder, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(folder)
	// Without O_NONBLOCK a FIFO in the place of the program would make us wait for its writer.
	how := &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK, Resolve: unix.RESOLVE_IN_ROOT}
	for {
		fd, err := unix.Openat2(folder, path, how)
		switch {
		case err == unix.EAGAIN: // a path with ".." was looked up beside a mount: openat2(2) asks to try again
			continue
		case err != nil:
			return nil, err
		}
		return os.NewFile(uintptr(fd), path), nil
	}
}

// interpreterOf returns the program that the kernel loads to run f: the one behind "#!", the dynamic loader, or none.
func interpreterOf(f *os.File) (string, error) {
	head := make([]byte, 256) // BINPRM_BUF_SIZE: what the kernel looks at
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return "", err
	}
	if line, ok := bytes.CutPrefix(head[:n], []byte("#!")); ok {
		line, _, _ = bytes.Cut(line, []byte("\n"))
		fields := strings.Fields(string(line))
		if len(fields) == 0 {
			return "", errors.New("is a script that names no interpreter")
		}
		return fields[0], nil
	}
	program, err := elf.NewFile(f)
	if err != nil {
		return "", fmt.Errorf("is neither a program nor a script: %w", err)
	}
	if want, ok := machines()[runtime.GOARCH]; ok && program.Machine != want {
		return "", fmt.Errorf("is a program for %v, and this machine is %v: the image is for another architecture", program.Machine, want)
	}
	for _, segment := range program.Progs {
		if segment.Type != elf.PT_INTERP || segment.Filesz > unix.PathMax {
			continue
		}
		name, err := io.ReadAll(segment.Open())
		if err != nil {
			return "", fmt.Errorf("read the name of its dynamic loader: %w", err)
		}
		return string(bytes.TrimRight(name, "\x00")), nil
	}
	return "", nil
}

func machines() map[string]elf.Machine {
	return map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
}
