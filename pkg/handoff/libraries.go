package handoff

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// libraryPatience is how long a dynamic loader may take. Where the image is still on its way, or the disk slow, the check is not worth a
// longer wait.
const libraryPatience = 10 * time.Second

// notFound is the status with which dynamic loaders end that do not find a library.
const notFound = 127

// checkLibraries asks the live system's own dynamic loader whether it would find the libraries of f. Nothing else knows: where it looks depends
// on its cache, on paths in the program and in each library, on how it was built, and on the processor. It lists them (ld.so(8), --list) and
// runs nothing of the program. Where it cannot be asked, or says something else than that a library is missing, nothing is wrong: what stops a
// boot has to be certain.
func checkLibraries(root string, f *os.File, loader string) error {
	name := path.Base(loader)
	if !strings.HasPrefix(name, "ld-linux") && !strings.HasPrefix(name, "ld-musl-") {
		return nil // of another one it is not known what it does with the option
	}
	program, err := pathIn(root, f) // the one behind all links: libraries may be named by their place beside it
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), libraryPatience)
	defer cancel()
	var said bytes.Buffer
	ask := exec.CommandContext(ctx, loader, "--list", program)
	ask.Env, ask.Dir, ask.Stderr = []string{}, "/", &said
	ask.SysProcAttr = &unix.SysProcAttr{Chroot: root}
	var ended *exec.ExitError
	if err := ask.Run(); !errors.As(err, &ended) || ended.ExitCode() != notFound {
		return nil
	}
	if what := missingLibrary(said.String()); what != "" {
		return fmt.Errorf("cannot be started: %s", what)
	}
	return nil
}

// missingLibrary returns what glibc's or musl's dynamic loader said of a library that it does not find.
func missingLibrary(said string) string {
	for line := range strings.Lines(said) {
		for _, words := range []string{"error while loading shared libraries: ", "Error loading shared library "} {
			if i := strings.Index(line, words); i >= 0 {
				return strings.TrimSpace(line[i:])
			}
		}
	}
	return ""
}
