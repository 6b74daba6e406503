package daemon

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// nodes are the FIFOs by which process 1 shows that it was told to end the machine, see layUnits.
type nodes struct {
	folder, proc string

	mutex sync.Mutex
	held  map[verb]*node // that were seen
	told  verb           // how the machine is to end, as they told last
}

// A node is open to be written to, which tells whether process 1 has it open, too. Nothing is ever written.
type node struct {
	fd            int
	device, inode uint64
}

// abandoned tells whether nobody reads it. systemd keeps its nodes open when it is reloaded or executes itself anew.
func (n *node) abandoned() bool {
	poll := []unix.PollFd{{Fd: int32(n.fd)}}
	_, err := unix.Poll(poll, 0)
	return err == nil && poll[0].Revents&unix.POLLERR != 0
}

// look returns how the machine is to end, empty for not at all, and whether process 1 has nothing left to stop: it has closed all FIFOs, and
// is about to execute systemd-shutdown, or did.
func (n *nodes) look() (v verb, last bool) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	gone := 0
	for _, each := range verbs() {
		if n.isGone(each) {
			v = each
			gone++
		}
	}
	if gone > 0 && gone == len(n.held) { // somebody has removed the folder, and process 1 has closed all: that tells nothing new
		v = n.told
	}
	n.told = v
	if last = n.abandoned(); last && v == "" {
		v = n.forced()
	}
	return v, last
}

// isGone tells whether a node was there, and process 1 has removed it: systemd closes it first. One that is still open was removed by
// somebody else, a container for example that has /run of the host. One that was not there before it opens.
func (n *nodes) isGone(v verb) bool {
	path := filepath.Join(n.folder, string(v))
	held := n.held[v]
	var stat unix.Stat_t
	err := unix.Lstat(path, &stat)
	switch {
	case err != nil:
		return err == unix.ENOENT && held != nil && held.abandoned()
	case held != nil && held.device == stat.Dev && held.inode == stat.Ino, stat.Mode&unix.S_IFMT != unix.S_IFIFO:
		return false
	}
	// It fails as long as nobody has the other end open.
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	if held != nil {
		_ = unix.Close(held.fd) // nothing was written to it
	}
	if n.held == nil {
		n.held = make(map[verb]*node)
	}
	n.held[v] = &node{fd: fd, device: stat.Dev, inode: stat.Ino}
	return false
}

// seen tells whether systemd is process 1, and shows nodes.
func (n *nodes) seen() bool {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return len(n.held) > 0
}

// isLast tells whether process 1 has nothing left to stop.
func (n *nodes) isLast() bool {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.abandoned()
}

// abandoned tells whether nodes were seen, and nobody reads any of them.
func (n *nodes) abandoned() bool {
	for _, held := range n.held {
		if !held.abandoned() {
			return false
		}
	}
	return len(n.held) > 0
}

// forced tells how the machine ends where process 1 was told to skip everything else (systemctl poweroff --force): as systemd-shutdown was
// told to. If that does not run yet, for lack of a part of it, it is not known how, and a machine that nobody can reach any more had
// better come back. Of a process 1 that has crashed, and waits for nothing, it is nothing.
func (n *nodes) forced() verb {
	line, err := os.ReadFile(filepath.Join(n.proc, "1/cmdline"))
	if err != nil {
		return ""
	}
	arguments := strings.Split(string(line), "\x00")
	if len(arguments) > 1 && filepath.Base(arguments[0]) == "systemd-shutdown" {
		if v := verb(arguments[1]); slices.Contains(verbs(), v) {
			return v
		}
		return toReboot
	}
	// proc(5): the state follows the name, which is in parentheses, and may have some itself.
	stat, err := os.ReadFile(filepath.Join(n.proc, "1/stat"))
	if err == nil && bytes.HasPrefix(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" D ")) {
		return toReboot
	}
	return ""
}
