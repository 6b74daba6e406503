// Shutdown is executed by systemd-shutdown, as process 1 and from memory, when a live system ends (/run/initramfs/shutdown). It unmounts what
// systemd could not, because it ran from it, and ends the kernel's run. It takes no longer than ten seconds.
//
//	shutdown reboot|poweroff|halt|kexec|exit [<systemd's options, which are not looked at>]
package main

import (
	"syscall"

	"github.com/liveboot/liveboot/pkg/shutdown"
)

func main() {
	if syscall.Getpid() != 1 {
		say("this is for systemd-shutdown to execute as process 1; use systemctl poweroff or reboot")
		syscall.Exit(1)
	}
	shutdown.Become()
	end := shutdown.ReadEnd("/proc/self/cmdline", "/run")
	done, tick := make(chan struct{}), make(chan struct{}, 1)
	go work(done, tick)
	if !within(done, tick) {
		say("gave up after ten seconds")
	}
	say(end.Verb)
	if err := end.Do(); err != nil {
		say("the kernel refuses: " + err.Error() + "; switch the machine off")
	}
	for {
		shutdown.Sleep() // when process 1 ends, the kernel panics
	}
}

// work must not take process 1 with it, whatever happens.
func work(done chan<- struct{}, tick <-chan struct{}) {
	defer close(done)
	defer func() {
		if recover() != nil {
			say("failed in an unexpected way; please report it as a bug")
		}
	}()
	shutdown.Run(shutdown.ThisMachine(tick, say))
}

// within drives the clock until all is done, or time is up.
func within(done <-chan struct{}, tick chan<- struct{}) bool {
	for range shutdown.Limit {
		shutdown.Sleep()
		select {
		case <-done:
			return true
		case tick <- struct{}{}:
		default:
		}
	}
	return false
}

func say(line string) {
	_, _ = syscall.Write(2, []byte("liveboot: "+line+"\n"))
}
