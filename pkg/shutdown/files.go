package shutdown

import "syscall"

// retry repeats a call that a signal interrupted; the Go runtime sends itself some.
func retry(f func() error) error {
	for {
		if err := f(); err != syscall.EINTR {
			return err
		}
	}
}

func open(path string, flags int) (fd int, err error) {
	err = retry(func() (err error) { fd, err = syscall.Open(path, flags|syscall.O_CLOEXEC, 0); return err })
	return fd, err
}

func exists(path string) bool {
	fd, err := open(path, syscall.O_RDONLY)
	if err != nil {
		return false
	}
	_ = syscall.Close(fd)
	return true
}

// readFile reads to the end of a file, which in /proc and /sys does not tell its size.
func readFile(path string) ([]byte, error) {
	fd, err := open(path, syscall.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	var all []byte
	part := make([]byte, 4096)
	for {
		var n int
		err := retry(func() (err error) { n, err = syscall.Read(fd, part); return err })
		if err != nil || n <= 0 {
			return all, err
		}
		all = append(all, part[:n]...)
	}
}

func writeFile(path, content string) error {
	fd, err := open(path, syscall.O_WRONLY)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	_, err = syscall.Write(fd, []byte(content))
	return err
}

// readFolder returns the names in a folder; of one that is not there, none.
func readFolder(path string) []string {
	fd, err := open(path, syscall.O_RDONLY|syscall.O_DIRECTORY)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	var names []string
	part := make([]byte, 8192)
	for {
		n, err := syscall.ReadDirent(fd, part)
		if err != nil || n <= 0 {
			return names
		}
		_, _, names = syscall.ParseDirent(part[:n], -1, names)
	}
}
