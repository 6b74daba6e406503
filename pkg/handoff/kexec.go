package handoff

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/liveboot/liveboot/pkg/kernel/kexec"
	"github.com/liveboot/liveboot/pkg/shutdown"
)

// Kexec starts the kernel that was loaded (pkg/kernel/kexec). Before that it ends all other processes and unmounts what is mounted, so that no file
// system on a disk has anything to recover; say is called with what is worth telling. It returns only with an error. The process is number 1,
// and a kernel is loaded; anything else is refused before something is ended.
func Kexec(say func(line string)) error {
	if pid := os.Getpid(); pid != 1 {
		return fmt.Errorf("kexec: this is process %d, and only process 1 may hand the machine over", pid)
	}
	if !kexec.Loaded(os.DirFS("/")) {
		return errors.New("kexec: no other kernel is loaded")
	}
	endProcesses()
	takeDown(say)
	return kexec.Execute()
}

// takeDown ends whatever writes to disks, in a time that is bounded even if one does not answer.
func takeDown(say func(line string)) {
	tick, done := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(done)
		shutdown.Run(shutdown.ThisMachine(tick, say))
	}()
	clock := time.NewTicker(time.Second / shutdown.Second)
	defer clock.Stop()
	for range shutdown.Limit {
		select {
		case <-done:
			return
		case <-clock.C:
		}
		select {
		case tick <- struct{}{}:
		default: // the last one has not been taken yet
		}
	}
	say("some file systems could not be unmounted in time")
}
