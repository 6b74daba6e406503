package supervisor

import (
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// children starts processes and reaps all that end, those of others too: to process 1 the kernel gives every orphan.
type children struct {
	signals chan os.Signal
	mu      sync.Mutex
	ends    map[int]chan unix.WaitStatus
}

func newChildren() *children {
	c := &children{signals: make(chan os.Signal, 1), ends: make(map[int]chan unix.WaitStatus)}
	// The others would end a Go program, and with it, as process 1, the kernel. To catch them is better than to have them
	// ignored, which the live system's init would inherit.
	signal.Notify(c.signals, unix.SIGCHLD, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM)
	go func() {
		for range c.signals {
			c.reap()
		}
	}()
	return c
}

// start starts a program and returns its id and how it ended, once it has.
func (c *children) start(path string, args []string, attr *os.ProcAttr) (pid int, end <-chan unix.WaitStatus, err error) {
	// Held until the id is noted, so that a program that ends at once is not reaped before.
	c.mu.Lock()
	defer c.mu.Unlock()
	process, err := os.StartProcess(path, args, attr)
	if err != nil {
		return 0, nil, err
	}
	pid = process.Pid // Release clears it
	ended := make(chan unix.WaitStatus, 1)
	c.ends[pid] = ended
	return pid, ended, process.Release()
}

// reap takes all that have ended. One signal may stand for several.
func (c *children) reap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if ended, ok := c.ends[pid]; ok {
			ended <- status
			delete(c.ends, pid)
		}
	}
}
