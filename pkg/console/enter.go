package console

import (
	"bytes"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// WaitForEnter sends the terminal on which somebody pressed Enter first, from the call on: what was typed before is dropped. stop ends the
// waiting and returns when nothing reads from the terminals any more.
func WaitForEnter(ttys []TTY) (pressed <-chan TTY, stop func()) {
	first := make(chan TTY, len(ttys))
	var readers sync.WaitGroup
	var files []*os.File
	for _, tty := range ttys {
		// Opened anew each time: the end of a shell hangs up what was opened before.
		file, err := tty.open()
		if err != nil {
			continue
		}
		files = append(files, file)
		control(file, listen)
		readers.Go(func() {
			buffer := make([]byte, 64)
			for {
				n, err := file.Read(buffer)
				if err != nil {
					return
				}
				if bytes.ContainsAny(buffer[:n], "\r\n") {
					first <- tty
					return
				}
			}
		})
	}
	return first, func() {
		for _, file := range files {
			_ = file.SetReadDeadline(time.Now())
		}
		readers.Wait()
		for _, file := range files {
			control(file, sane)
			file.Close()
		}
	}
}

// control changes a terminal. (The file's Fd would make it block, and its reading could not be ended.)
func control(file *os.File, change func(fd int)) {
	if conn, err := file.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { change(int(fd)) })
	}
}

// listen drops the input that nobody read yet, line noise or what was meant for somebody else, and takes Ctrl-D its meaning: it would end
// the reading for good.
func listen(fd int) {
	_ = unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH)
	if t, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
		t.Cc[unix.VEOF] = 0 // _POSIX_VDISABLE
		_ = unix.IoctlSetTermios(fd, unix.TCSETS, t)
	}
}

// Sane puts a terminal into the state in which a person can type a line: whatever spoke with it before may have left
// it without echo. See termios(3).
func Sane(terminal *os.File) { control(terminal, sane) }

func sane(fd int) {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return // not a terminal
	}
	t.Iflag |= unix.ICRNL | unix.BRKINT
	t.Oflag |= unix.OPOST | unix.ONLCR
	t.Lflag |= unix.ISIG | unix.ICANON | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.IEXTEN
	t.Cc[unix.VEOF] = 4 // Ctrl-D
	_ = unix.IoctlSetTermios(fd, unix.TCSETS, t)
}
