package handoff

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxScripts bounds a script whose interpreter is a script whose interpreter is a script, as the kernel does (fs/exec.c, exec_binprm).
const maxScripts = 5

// scriptHead is how much of a file the kernel looks at, in bytes (BINPRM_BUF_SIZE).
const scriptHead = 256

// checkProgram makes sure that the kernel can execute path in root: a regular file with an x bit where programs may be executed, which is a
// program of this machine whose dynamic loader and libraries are there too, or a script whose interpreter is such a program.
func (s Spec) checkProgram(root, path string, scripts int) error {
	f, err := openProgram(root, path)
	if err != nil {
		return err
	}
	defer f.Close()
	interpreter, err := scriptInterpreter(f)
	if err != nil {
		return err
	}
	if interpreter == "" {
		return s.checkELF(root, f)
	}
	if scripts == maxScripts {
		return errors.New("too many interpreters, one in another")
	}
	if err := s.checkProgram(root, interpreter, scripts+1); err != nil {
		return fmt.Errorf("its interpreter %s: %w", interpreter, err)
	}
	return nil
}

// openProgram opens what the kernel would let process 1 execute: fs/exec.c, do_open_execat.
func openProgram(root, path string) (*os.File, error) {
	f, err := openIn(root, path)
	if err != nil {
		return nil, explainLink(root, path, err)
	}
	if err := mayExecute(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func mayExecute(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return err
	}
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("is not a regular file but %v", info.Mode().Type())
	case info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("is not executable (mode %v)", info.Mode().Perm())
	case fs.Flags&unix.ST_NOEXEC != 0:
		return errors.New("is on a file system that is mounted noexec")
	}
	return nil
}

// openIn opens path as a process would see it whose root folder is root: absolute symbolic links start there too.
func openIn(root, path string) (*os.File, error) {
	// Without O_NONBLOCK a FIFO in the place of the program would make us wait for its writer.
	return lookup(root, path, unix.O_RDONLY|unix.O_NONBLOCK)
}

func lookup(root, path string, flags uint64) (*os.File, error) {
	folder, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(folder)
	how := &unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT}
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

// explainLink says of a path that cannot be opened that it is there, as a symbolic link, and where that points.
func explainLink(root, path string, err error) error {
	f, lookupErr := lookup(root, path, unix.O_PATH|unix.O_NOFOLLOW)
	if lookupErr != nil {
		return err
	}
	defer f.Close()
	to := make([]byte, unix.PathMax)
	n, linkErr := unix.Readlinkat(int(f.Fd()), "", to)
	if linkErr != nil {
		return err
	}
	return fmt.Errorf("is a symbolic link to %s: %w", to[:n], err)
}

// pathIn returns the path of f, which openIn opened, in root, without symbolic links.
func pathIn(root string, f *os.File) (string, error) {
	top, err := filepath.EvalSymlinks(root)
	if err != nil {
		return "", err
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return "", err
	}
	path, ok := strings.CutPrefix(path, strings.TrimSuffix(top, "/"))
	if !ok {
		return "", fmt.Errorf("%s is not below %s", path, top)
	}
	return path, nil
}

// scriptInterpreter returns the program behind "#!", or nothing when f is no script, as fs/binfmt_script.c reads it: the word ends at a space,
// a tab, a NUL or the line's end, and at nothing else. A script that was saved with carriage returns names a program whose name ends with one.
func scriptInterpreter(f io.ReaderAt) (string, error) {
	head := make([]byte, scriptHead)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return "", err
	}
	line, ok := bytes.CutPrefix(head[:n], []byte("#!"))
	if !ok {
		return "", nil
	}
	line, _, whole := bytes.Cut(line, []byte("\n"))
	line = bytes.TrimLeft(line, " \t")
	end := bytes.IndexAny(line, " \t\x00")
	switch {
	case end >= 0:
		line = line[:end]
	case !whole && n == scriptHead:
		return "", fmt.Errorf("is a script whose interpreter's name does not end within %d bytes", scriptHead)
	}
	if len(line) == 0 {
		return "", errors.New("is a script that names no interpreter")
	}
	if name := string(line); strings.HasSuffix(name, "\r") {
		return "", fmt.Errorf("is a script with carriage returns at the ends of its lines, so the kernel looks for an interpreter named %q", name)
	}
	return string(line), nil
}
