package shutdown

import "syscall"

// ioctl of <linux/loop.h>.
const loopClrFD = 0x4c01

// ThisMachine is the running one. say is called with every line for people.
func ThisMachine(tick <-chan struct{}, say func(line string)) Machine {
	return Machine{
		Mountinfo: func() (string, error) { text, err := readFile("/proc/self/mountinfo"); return string(text), err },
		Unmount:   unmount,
		ReadOnly: func(point string) error {
			return syscall.Mount("", point, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
		},
		DetachLoops: detachLoops,
		Kill:        kill,
		InUse:       inUse,
		ReadOnlyAll: readOnlyAll,
		Sync:        syscall.Sync,
		Say:         say,
		Tick:        tick,
	}
}

// unmount gives up outstanding requests to servers (MNT_FORCE): it is the end for them, too.
func unmount(point string, lazy bool) error {
	flags := syscall.MNT_FORCE
	if lazy {
		flags = syscall.MNT_DETACH
	}
	return retry(func() error { return syscall.Unmount(point, flags|umountNoFollow) })
}

// umountNoFollow is UMOUNT_NOFOLLOW of umount2(2).
const umountNoFollow = 0x8

// detachLoops counts those that are free afterwards: the kernel also accepts the request for one in use, and frees it later.
func detachLoops() int {
	freed := 0
	for _, name := range readFolder("/sys/block") {
		backing := "/sys/block/" + name + "/loop/backing_file"
		if len(name) < 4 || name[:4] != "loop" || !exists(backing) {
			continue
		}
		fd, err := open("/dev/"+name, syscall.O_RDONLY)
		if err != nil {
			continue
		}
		_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), loopClrFD, 0) // the result shows in /sys
		_ = syscall.Close(fd)
		if !exists(backing) {
			freed++
		}
	}
	return freed
}

// kill sends SIGKILL to processes. Spared at first is one whose name begins with @: it serves the root file system and asks for it
// (https://systemd.io/ROOT_STORAGE_DAEMONS). So is one without a command line: that is one of the kernel's own, which takes no notice anyhow, or
// dead already; only rarely has a program hidden its own, so these are not waited for.
func kill(all bool) (left int) {
	for _, name := range readFolder("/proc") {
		pid, ok := number(name)
		if !ok || pid == 1 {
			continue
		}
		line, err := readFile("/proc/" + name + "/cmdline")
		hidden := len(line) == 0
		if err != nil || !all && (hidden || line[0] == '@') {
			continue
		}
		if syscall.Kill(pid, syscall.SIGKILL) == nil && !hidden {
			left++
		}
	}
	return left
}

// inUse looks where ext4 and xfs, which can hold a live system's changes, show the devices that they have open (Documentation/ABI/testing/
// sysfs-fs-ext4 and sysfs-fs-xfs), mounted in plain sight or not. A device that cannot be written to needs no care.
func inUse() []string {
	var all []string
	for _, kind := range []string{"ext4", "xfs"} {
		for _, name := range readFolder("/sys/fs/" + kind) {
			readOnly, err := readFile("/sys/class/block/" + name + "/ro")
			if err == nil && len(readOnly) > 0 && readOnly[0] == '0' {
				all = append(all, kind+" of /dev/"+name)
			}
		}
	}
	return all
}

// readOnlyAll asks for what the keys SysRq+U do (Documentation/admin-guide/sysrq.rst): the only way to reach a file system without a mount.
// The kernel does it in the background and tells its log when it is done.
func readOnlyAll() error {
	log, err := open("/dev/kmsg", syscall.O_RDONLY)
	if err != nil {
		return err
	}
	defer syscall.Close(log)
	if _, err := syscall.Seek(log, 0, 2); err != nil { // from the end
		return err
	}
	if err := writeFile("/proc/sysrq-trigger", "u"); err != nil {
		return err
	}
	record := make([]byte, 8192) // CONSOLE_EXT_LOG_MAX: what a shorter buffer cannot hold is an error
	for {
		var n int
		err := retry(func() (err error) { n, err = syscall.Read(log, record); return err })
		if err == syscall.EPIPE {
			continue // the log went past us; the next read goes on where it begins
		}
		if err != nil {
			return err
		}
		if _, _, done := cut(string(record[:n]), "Emergency Remount complete"); done {
			return nil
		}
	}
}
