// Package moduletest records modules instead of loading them.
package moduletest

import (
	"strings"

	"github.com/liveboot/liveboot/pkg/kernel/module"
)

// A Recorder is a module.Inserter that hands the modprobe(8) command of each insertion to Log. It must be safe for
// several goroutines.
type Recorder struct {
	Log func(command string)
	// OnInsert, when set, decides what an insertion comes to.
	OnInsert func(name string) error
}

// Insert records the insertion.
func (r Recorder) Insert(file, parameters string) error {
	name := module.Name(file)
	r.Log(strings.TrimSpace("modprobe " + name + " " + parameters))
	if r.OnInsert != nil {
		return r.OnInsert(name)
	}
	return nil
}
