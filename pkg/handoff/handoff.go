// Package handoff gives the machine away to the live system.
//
// Check finds the program that will be process 1 and makes sure, before anything is destroyed, that the kernel can run it. SwitchRoot does
// the irreversible: it ends what else runs, deletes the initramfs and becomes that program, which finds the process as the kernel itself
// would give it to an init that it starts (init/main.c, kernel_init).
package handoff

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// A Spec says what to hand over to.
type Spec struct {
	// Init is the program, as a path in the live root; empty means the first of DefaultInits that is there.
	Init string
	// Way is how the machine is given away.
	Way Way
	// Append adds the options of the image's own boot entry to the kernel's command line, where the way is kexec.
	Append bool
	// Streamed says that the live root is still on its way over the network. What has to be read of it for the check of the libraries, several MB,
	// would be waited for here; so they are left to the init itself, whose dynamic loader says on the console which one is missing.
	Streamed bool
}

// DefaultInits are the places of process 1 in the order in which they are tried: the one that all distributions keep, then those
// of systemd, for images that lack the link.
func DefaultInits() []string {
	return []string{"/sbin/init", "/usr/lib/systemd/systemd", "/lib/systemd/systemd", "/etc/init", "/bin/init"}
}

// Ready is a live root whose init was checked.
type Ready struct {
	// Root is where the live root is mounted.
	Root string
	// Init is the program's path in it.
	Init string
	// Kexec says that there is no live root yet, but another kernel in memory, which is to start.
	Kexec bool
	// Streamed is that of the Spec.
	Streamed bool
}

// InitError says why a program cannot be process 1.
type InitError struct {
	Path string
	err  error
}

// Error names the program.
func (e *InitError) Error() string {
	return fmt.Sprintf("init %s of the live system: %v", e.Path, e.err)
}

// Unwrap returns the cause.
func (e *InitError) Unwrap() error { return e.err }

// Check looks for the init of s in root. Its error is an *InitError.
func Check(s Spec, root string) (Ready, error) {
	candidates := DefaultInits()
	if s.Init != "" {
		candidates = []string{s.Init}
	}
	var missing error
	for _, path := range candidates {
		err := s.checkProgram(root, path, 0)
		if err == nil {
			return Ready{Root: root, Init: path, Streamed: s.Streamed}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || s.Init != "" {
			return Ready{}, &InitError{path, err}
		}
		if missing == nil {
			missing = &InitError{strings.Join(candidates, ", "), err}
		}
	}
	return Ready{}, missing
}
