// Package mount attaches file systems to the tree, by mount(2) and umount2(2).
package mount

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Flags are the bits of mount(2).
type Flags uintptr

// The flags in use here, with the meaning mount(8) gives to the option of the same name.
const (
	ReadOnly                                         Flags = unix.MS_RDONLY
	NoSUID                                           Flags = unix.MS_NOSUID
	NoDev                                            Flags = unix.MS_NODEV
	NoExec                                           Flags = unix.MS_NOEXEC
	NoATime                                          Flags = unix.MS_NOATIME
	RelATime                                         Flags = unix.MS_RELATIME
	strictATime, noDirATime, sync, dirSync, lazyTime Flags = unix.MS_STRICTATIME, unix.MS_NODIRATIME, unix.MS_SYNCHRONOUS, unix.MS_DIRSYNC, unix.MS_LAZYTIME
	Bind                                             Flags = unix.MS_BIND
	Move                                             Flags = unix.MS_MOVE
)

// A Point is one mount: what, where and how.
type Point struct {
	// Source is a device, a folder (with Bind or Move), or just a name for file systems that have no device.
	Source string
	// Target is an existing folder.
	Target string
	// Type is the file system's name in /proc/filesystems; empty with Bind and Move.
	Type  string
	Flags Flags
	// Data holds the file system's own options, separated by commas.
	Data string
}

// String returns the mount(8) command that does the same.
func (p Point) String() string {
	var b strings.Builder
	b.WriteString("mount")
	if p.Flags&Bind != 0 {
		b.WriteString(" --bind")
	}
	if p.Flags&Move != 0 {
		b.WriteString(" --move")
	}
	if p.Type != "" {
		b.WriteString(" -t " + p.Type)
	}
	if options := p.options(); len(options) > 0 {
		b.WriteString(" -o " + strings.Join(options, ","))
	}
	b.WriteString(" " + p.Source + " " + p.Target)
	return b.String()
}

func (p Point) options() []string {
	var options []string
	for _, o := range flagNames() {
		if p.Flags&o.flag != 0 {
			options = append(options, o.name)
		}
	}
	if p.Data != "" {
		options = append(options, p.Data)
	}
	return options
}

type flagName struct {
	name string
	flag Flags
}

func flagNames() []flagName {
	return []flagName{
		{"ro", ReadOnly},
		{"nosuid", NoSUID},
		{"nodev", NoDev},
		{"noexec", NoExec},
		{"noatime", NoATime},
		{"relatime", RelATime},
		{"strictatime", strictATime},
		{"nodiratime", noDirATime},
		{"sync", sync},
		{"dirsync", dirSync},
		{"lazytime", lazyTime},
	}
}

// ParseOptions splits options as they stand behind mount(8)'s -o into those that are flags of mount(2) and those that are the file
// system's own.
func ParseOptions(options string) (flags Flags, data string) {
	var own []string
next:
	for option := range strings.SplitSeq(options, ",") {
		for _, f := range flagNames() {
			if option == f.name {
				flags |= f.flag
				continue next
			}
		}
		switch option {
		case "", "defaults", "rw", "dev", "exec", "suid", "async": // what a mount is without flags
		default:
			own = append(own, option)
		}
	}
	return flags, strings.Join(own, ",")
}

// A Mounter changes the mount tree. System is the kernel's.
type Mounter interface {
	Mount(Point) error
	Unmount(target string) error
}

// System is the Mounter of the running kernel, in the mount namespace of the process.
type System struct{}

// Mount attaches p. Its error wraps the errno of mount(2) and shows the command that would do the same.
func (System) Mount(p Point) error {
	if err := unix.Mount(p.Source, p.Target, p.Type, uintptr(p.Flags), p.Data); err != nil {
		return fmt.Errorf("%v: %w", p, err)
	}
	return nil
}

// Unmount detaches what is mounted at target.
func (System) Unmount(target string) error {
	if err := unix.Unmount(target, 0); err != nil {
		return fmt.Errorf("umount %s: %w", target, err)
	}
	return nil
}
