// Package looptest records loop devices instead of attaching them.
package looptest

import (
	"fmt"

	"github.com/liveboot/liveboot/pkg/kernel/loop"
)

// A Recorder is a loop.Attacher that hands each command it would run to Log and numbers its devices /dev/loop0,
// /dev/loop1 and so on. The zero Recorder with a Log is ready.
type Recorder struct {
	Log  func(command string)
	next int
}

// Attach records c.
func (r *Recorder) Attach(c loop.Config) (string, error) {
	device := fmt.Sprintf("/dev/loop%d", r.next)
	r.next++
	r.Log(c.String())
	return device, nil
}

// Detach records the call.
func (r *Recorder) Detach(device string) error {
	r.Log("losetup -d " + device)
	return nil
}
