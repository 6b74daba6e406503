package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/stream/daemon"
)

// third is the argument with which another process takes memory, and behind it how much in MiB.
const third = "take"

// take has a process of its own take memory, all at once, as programs of a live system do.
func take() error {
	o, err := options()
	if err != nil {
		return err
	}
	began := time.Now()
	text, err := exec.Command("/proc/self/exe", third, o["take"]).CombinedOutput()
	if err != nil {
		say("took nothing: %v %s", err, text)
		return nil
	}
	say("took %s MiB in %.3f s", o["take"], time.Since(began).Seconds())
	return nil
}

// takeMemory is what that process does: it writes to each page.
func takeMemory(mib string) error {
	n, err := strconv.Atoi(mib)
	if err != nil {
		return err
	}
	memory, err := unix.Mmap(-1, 0, n<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	for at := 0; at < len(memory); at += os.Getpagesize() {
		memory[at] = 1
	}
	return unix.Munmap(memory)
}

// status says what the streaming process has written for the live system.
func status() error {
	text, err := os.ReadFile("/" + daemon.StatusPath)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	say("status %s;", strings.TrimSpace(string(text)))
	return nil
}

// future sets the clock to a time at which no certificate is valid any more, and present back.
func future() error  { return step(100 * 365 * 24 * time.Hour) }
func present() error { return step(-100 * 365 * 24 * time.Hour) }

func step(by time.Duration) error {
	now := unix.NsecToTimeval(time.Now().Add(by).UnixNano())
	if err := unix.Settimeofday(&now); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	say("clock %d;", time.Now().Year())
	return nil
}

// rest does nothing for a second.
func rest() error {
	time.Sleep(time.Second)
	say("rested")
	return nil
}
