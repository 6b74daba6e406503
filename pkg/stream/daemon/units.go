package daemon

import (
	"errors"
	"fmt"
	"path/filepath"
)

// A verb is a way to end the machine, as systemctl(1) calls it.
type verb string

const (
	toPowerOff verb = "poweroff"
	toReboot   verb = "reboot"
	toHalt     verb = "halt"
	toKexec    verb = "kexec"
)

// verbs returns all of them.
func verbs() []verb { return []verb{toPowerOff, toReboot, toHalt, toKexec} }

// targets are what systemd starts to end the machine so, systemd.special(7). Outside of a container exit is poweroff.
func (v verb) targets() string {
	if v == toPowerOff {
		return "poweroff.target exit.target"
	}
	return string(v) + ".target"
}

const (
	// unitsPath is where systemd finds units, below the root folder: the folder of `systemctl set-property --runtime`. In run/systemd/system it
	// would be more usual, but where that is programs believe that systemd runs, sd_booted(3), which it may not.
	unitsPath = "run/systemd/system.control"
	// nodesPath is where it keeps a FIFO for each verb, until it is told to end the machine so.
	nodesPath = "run/liveboot/end"
)

// layUnits writes the units by which systemd, as process 1 of the live system, shows that it was told to end the machine, and how, to a
// folder that the live system inherits. For each verb it listens at a FIFO, to which nobody ever writes, and which it closes and removes as
// soon as it begins to end: itself, without a program for which parts of the image might be missing.
func layUnits(root string) error {
	wants := "[Unit]\nWants="
	files := map[string]string{"liveboot-end.service": idleUnit}
	for _, v := range verbs() {
		name := "liveboot-" + string(v) + ".socket"
		files[name] = fmt.Sprintf(socketUnit, v, v.targets(), filepath.Join("/", nodesPath, string(v)))
		wants += " " + name
	}
	// With emergency.target systemd starts nothing else.
	for _, target := range []string{"sysinit.target", "emergency.target"} {
		files[filepath.Join(target+".d", "liveboot.conf")] = wants + "\n"
	}
	var errs []error
	for name, text := range files {
		errs = append(errs, replaceFile(filepath.Join(root, unitsPath, name), []byte(text)))
	}
	return errors.Join(errs...)
}

// socketUnit is that of a verb, with its targets, and the path of the FIFO. Without DefaultDependencies= nothing is waited for before it is
// stopped, with IgnoreOnIsolate= "systemctl isolate" leaves it alone.
const socketUnit = `[Unit]
Description=Notice of %s, for the image that streams
DefaultDependencies=no
IgnoreOnIsolate=yes
RefuseManualStop=yes
Conflicts=%s

[Socket]
ListenFIFO=%s
SocketMode=0600
RemoveOnStop=yes
Service=liveboot-end.service
`

// idleUnit is one that systemd wants to know for a socket, and never starts.
const idleUnit = `[Unit]
Description=Nothing, for which the stream's sockets listen
DefaultDependencies=no
RefuseManualStart=yes

[Service]
Type=oneshot
ExecStart=/bin/true
`
