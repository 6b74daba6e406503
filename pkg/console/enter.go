package console

import (
	"bytes"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// WaitForEnter sends the terminal on which somebody pressed Enter first. stop ends the waiting and returns when nothing
// reads from the terminals any more.
func WaitForEnter(ttys []TTY) (pressed <-chan TTY, stop func()) {
	first := make(chan TTY, len(ttys))
	var readers sync.WaitGroup
	for _, tty := range ttys {
		// What was typed before there was something to answer, or line noise, is not meant for us.
		tty.flush()
		_ = tty.file.SetReadDeadline(time.Time{})
		readers.Go(func() {
			buffer := make([]byte, 64)
			for {
				n, err := tty.file.Read(buffer)
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
		for _, tty := range ttys {
			_ = tty.file.SetReadDeadline(time.Now())
		}
		readers.Wait()
	}
}

// flush drops the input that nobody read yet. (The file's Fd would make it block, and its reading could not be ended.)
func (t TTY) flush() {
	if conn, err := t.file.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { _ = unix.IoctlSetInt(int(fd), unix.TCFLSH, unix.TCIFLUSH) })
	}
}

// Sane puts a terminal into the state in which a person can type a line: whatever spoke with it before may have left
// it without echo. See termios(3).
func Sane(terminal *os.File) {
	t, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		return // not a terminal
	}
	t.Iflag |= unix.ICRNL | unix.BRKINT
	t.Oflag |= unix.OPOST | unix.ONLCR
	t.Lflag |= unix.ISIG | unix.ICANON | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.IEXTEN
	_ = unix.IoctlSetTermios(int(terminal.Fd()), unix.TCSETS, t)
}
