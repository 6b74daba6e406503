package kexec

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// NewFile makes a file in memory and returns it open for reading only, as Load needs it. write gives it its content; name is for people.
func NewFile(name string, write func(io.Writer) error) (_ *os.File, err error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make %s in memory: %w", name, err)
	}
	writable := os.NewFile(uintptr(fd), name)
	defer func() { err = errors.Join(err, writable.Close()) }()
	if err := write(writable); err != nil {
		return nil, fmt.Errorf("write %s into memory: %w", name, err)
	}
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return nil, fmt.Errorf("read %s in memory: %w", name, err)
	}
	return f, nil
}
