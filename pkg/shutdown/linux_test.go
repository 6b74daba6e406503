package shutdown

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestFiles compares what is read without the package os with what it reads.
func TestFiles(t *testing.T) {
	folder := t.TempDir()
	large := strings.Repeat("0123456789", 1000)
	write(t, filepath.Join(folder, "large"), large)
	if got, err := readFile(filepath.Join(folder, "large")); string(got) != large || err != nil {
		t.Errorf("readFile = %d bytes, %v, want %d", len(got), err, len(large))
	}
	if got, err := readFile(filepath.Join(folder, "none")); err == nil {
		t.Errorf("readFile of what is not there = %q", got)
	}
	for i := range 2000 { // more than one call of the kernel returns
		write(t, filepath.Join(folder, "many", "a-name-as-long-as-some-"+strconv.Itoa(i)), "")
	}
	if got := len(readFolder(filepath.Join(folder, "many"))); got != 2000 {
		t.Errorf("readFolder found %d names, want 2000", got)
	}
	if got := readFolder(filepath.Join(folder, "none")); got != nil {
		t.Errorf("readFolder of what is not there = %q", got)
	}
	if err := writeFile(filepath.Join(folder, "large"), "X"); err != nil {
		t.Errorf("writeFile: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(folder, "large")); !strings.HasPrefix(string(got), "X1") || err != nil {
		t.Errorf("writeFile wrote %q, %v", got[:min(2, len(got))], err)
	}
	if !exists(folder) || exists(filepath.Join(folder, "none")) {
		t.Error("exists says the contrary of what is")
	}
}

// TestThisMachine reads what the running kernel says, and changes nothing.
func TestThisMachine(t *testing.T) {
	m := ThisMachine(nil, nil)
	text, err := m.Mountinfo()
	if err != nil {
		t.Fatal(err)
	}
	all := ParseMountinfo(text)
	if lines := strings.Count(text, "\n"); len(all) != lines {
		t.Errorf("ParseMountinfo found %d mounts in %d lines of this machine:\n%s", len(all), lines, text)
	}
	if !slices.ContainsFunc(all, func(m Mount) bool { return m.Point == "/proc" && m.Type == "proc" }) {
		t.Errorf("ParseMountinfo found no /proc in\n%s", text)
	}
	if !slices.Contains(readFolder("/proc"), strconv.Itoa(os.Getpid())) {
		t.Error("readFolder does not find this process in /proc")
	}
}

func TestStays(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want bool
	}{
		{"/", true}, {"/run", true}, {"/proc", true}, {"/sys/fs/cgroup", true}, {"/dev/pts", true},
		{"/oldroot", false}, {"/oldroot/proc", false}, {"/run/overlay/overlayfs", false}, {"/device", false}, {"/system", false}, {"", false},
	} {
		if got := stays(tt.in); got != tt.want {
			t.Errorf("stays(%q) = %v, want %v", tt.in, got, tt.want)
		}
	}
}
