package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/integration/livefacts"
)

// loadModule loads the module that the word livefacts.Module names, from the modules of the running kernel in the root.
func loadModule(cmdline string) error {
	for _, word := range strings.Fields(cmdline) {
		name, ok := strings.CutPrefix(word, livefacts.Module)
		if !ok {
			continue
		}
		folder := filepath.Join("/lib/modules", strings.TrimSpace(text("/proc/sys/kernel/osrelease")))
		var file string
		err := filepath.WalkDir(folder+"/", func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Name() == name+".ko" {
				file = path
			}
			return err
		})
		if err != nil {
			return err
		}
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("no module %s in %s: %w", name, folder, err)
		}
		defer f.Close()
		return unix.FinitModule(int(f.Fd()), "", 0)
	}
	return nil
}
