package handoff

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// How long processes may take to end when they are asked to, and when they are made to. One that the kernel holds, in a driver for example,
// ends when it lets go.
const (
	askedPatience = time.Second
	madePatience  = 2 * time.Second
	lookInterval  = 5 * time.Millisecond
)

// keptMark is the first byte of the name (argv[0]) of processes that have to outlive the hand-over, such as one that serves the live system's own
// disk. It is systemd's mark as well, so they outlive the end of the live system too: https://systemd.io/ROOT_STORAGE_DAEMONS.
const keptMark = '@'

// endProcesses ends all processes but this one, the threads of the kernel, and those with the mark.
func endProcesses() {
	for _, step := range []struct {
		signal   unix.Signal
		patience time.Duration
	}{{unix.SIGTERM, askedPatience}, {unix.SIGKILL, madePatience}} {
		left := reaped()
		for _, pid := range left {
			_ = unix.Kill(pid, step.signal) // it may have ended by itself
			_ = unix.Kill(pid, unix.SIGCONT)
		}
		for deadline := time.Now().Add(step.patience); len(left) > 0 && time.Now().Before(deadline); left = reaped() {
			time.Sleep(lookInterval)
		}
		if len(left) == 0 {
			return
		}
	}
}

// reaped takes what has ended and returns the processes that are left.
func reaped() []int {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if err != unix.EINTR && pid <= 0 {
			return others("/proc")
		}
	}
}

// others returns the processes in the folder proc that have to end.
func others(proc string) []int {
	folders, _ := filepath.Glob(filepath.Join(proc, "[0-9]*")) // the pattern is a good one
	var pids []int
	for _, folder := range folders {
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err != nil || pid == os.Getpid() {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(folder, "stat"))
		if err != nil || kernelThread(string(stat)) {
			continue // ended meanwhile, or not ours
		}
		if line, err := os.ReadFile(filepath.Join(folder, "cmdline")); err == nil && !bytes.HasPrefix(line, []byte{keptMark}) {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// kernelThread reads /proc/PID/stat (proc_pid_stat(5)), whose ninth field are the flags. The second, the name, is in parentheses and may
// hold anything.
func kernelThread(stat string) bool {
	const pfKthread = 0x00200000 // PF_KTHREAD, include/linux/sched.h
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 7 {
		return false
	}
	flags, err := strconv.ParseUint(fields[6], 10, 64)
	return err == nil && flags&pfKthread != 0
}
