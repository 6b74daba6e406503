// Command streamguest is process 1 of the machine in which an image is streamed: it makes the device as liveboot does, mounts the live root
// in it, and switches to that root, from where it goes on as process 1 once more, and does what the console tells it to do, a word a line:
//
//	device   reads the whole device that is mounted, and says its SHA-256
//	sequential, plain
//	         reads the whole device, or downloads the image as it would be without streaming, and says how fast
//	random   reads 4 KiB at 2000 places of it, and says how long one takes
//	tree     reads all files of the live root, and says the SHA-256 of it all
//	drop     makes the kernel forget what it has read
//	down     takes all network cards down
//	take     has a process take memory, all at once, and says whether it got it
//	status   says what the streaming process has written for the live system
//	future, present
//	         sets the clock forward by a hundred years, and back
//	rest     does nothing for a second
//	state    says which device is shown, and how much memory the streaming process takes
//	off      powers the machine off
//
// The kernel command line has the image's URL behind streamguest.url=, and may have streamguest.sha256=, streamguest.lazy=1 for an image
// that is never to be complete, streamguest.chunks= with the URL of a manifest, streamguest.rate=, .chunk=, .ahead= and .memory= as a
// daemon.Job has them, streamguest.reboot=1 to reboot where the image is wrong, streamguest.take= with the MiB to take, and streamguest.init= for the program that goes on as process 1 instead.
//
// The same program is the streaming process.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/liveboot/liveboot/pkg/kernel/power"
	"github.com/liveboot/liveboot/pkg/stream/daemon"
)

// second is the argument with which process 1 goes on in the live root.
const second = "second"

func main() {
	switch {
	case len(os.Args) > 1 && os.Args[1] == daemon.Argument:
		os.Exit(daemon.Main(daemon.Hooks{}))
	case len(os.Args) > 2 && os.Args[1] == third:
		if err := takeMemory(os.Args[2]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	var err error
	if len(os.Args) > 1 && os.Args[1] == second {
		err = obey()
	} else {
		err = begin()
	}
	if err != nil {
		say("failed: %v", err)
	}
	if err := power.Do(power.PowerOff); err != nil {
		say("%v", err)
	}
}

func say(format string, args ...any) { fmt.Printf("streamguest: "+format+"\n", args...) }

// obey does what the console says.
func obey() error {
	say("switched")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		do, ok := map[string]func() error{
			"device": device, "sequential": sequential, "plain": plain, "random": random, "tree": tree, "drop": drop, "down": down, "state": state,
			"take": take, "status": status, "future": future, "present": present, "rest": rest,
		}[strings.TrimSpace(lines.Text())]
		switch {
		case lines.Text() == "off":
			return nil
		case !ok:
			continue
		}
		if err := do(); err != nil {
			return err
		}
	}
	return lines.Err()
}
