package handoff

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestInstallShutdown(t *testing.T) {
	root := tree(t, map[string]string{ShutdownProgram: "-program"})
	run := t.TempDir()
	for range 2 { // what is there already is no hindrance
		if err := InstallShutdown(root, run); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(run, "initramfs/shutdown")
	content, err := os.ReadFile(program)
	if err != nil || string(content) != "program" {
		t.Errorf("%s holds %q, %v", program, content, err)
	}
	if info, err := os.Stat(program); err != nil || info.Mode() != 0o755 {
		t.Errorf("%s is %v, %v, want it executable", program, info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(program))
	if err != nil || len(entries) != 6 {
		t.Errorf("beside the program are %v, %v, want five folders", entries, err)
	}
	for _, unit := range []string{"run-overlay.mount.d", "run-overlay-.mount.d"} {
		if content, err := os.ReadFile(filepath.Join(run, "systemd/system", unit, "10-liveboot.conf")); err != nil || string(content) != "[Unit]\nDefaultDependencies=no\n" {
			t.Errorf("drop-in of %s: %q, %v", unit, content, err)
		}
	}
}

// TestInstallShutdownMissing: an image without the program leaves none that could be executed.
func TestInstallShutdownMissing(t *testing.T) {
	run := t.TempDir()
	if err := InstallShutdown(t.TempDir(), run); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("InstallShutdown without a program = %v, want fs.ErrNotExist", err)
	}
	if _, err := os.Stat(filepath.Join(run, "initramfs/shutdown")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the program is there: %v", err)
	}
}
