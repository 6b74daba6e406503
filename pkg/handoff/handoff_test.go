package handoff

import (
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// tree makes a root folder: a name that ends in "/" is a folder, a value that begins with "->" a symbolic link, one that begins with
// "-" a file without the x bit.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch target, link := strings.CutPrefix(content, "->"); {
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		case link:
			err = os.Symlink(target, path)
		case strings.HasPrefix(content, "-"):
			err = os.WriteFile(path, []byte(content[1:]), 0o644)
		default:
			err = os.WriteFile(path, []byte(content), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestCheck: which program becomes process 1.
func TestCheck(t *testing.T) {
	static := string(elfFile(t, ownMachine(), elf.ET_EXEC, ""))
	for _, tt := range []struct {
		name  string
		files map[string]string
		init  string
		want  string // the init, or
		err   string
	}{
		{"as all have it", map[string]string{"sbin/init": static}, "", "/sbin/init", ""},
		{"absolute link, as on a merged /usr", map[string]string{"sbin": "->usr/sbin", "usr/sbin/init": "->/lib/systemd/systemd", "lib": "->usr/lib", "usr/lib/systemd/systemd": static}, "", "/sbin/init", ""},
		{"only systemd", map[string]string{"usr/lib/systemd/systemd": static}, "", "/usr/lib/systemd/systemd", ""},
		{"link to nowhere beside systemd", map[string]string{"sbin/init": "->/bin/gone", "usr/lib/systemd/systemd": static}, "", "/usr/lib/systemd/systemd", ""},
		{"named", map[string]string{"sbin/init": static, "bin/other": static}, "/bin/other", "/bin/other", ""},
		{"named from the root folder", map[string]string{"bin/other": static}, "bin/other", "bin/other", ""},
		{"named but missing", map[string]string{"sbin/init": static}, "/bin/other", "", "init /bin/other of the live system: no such file"},
		{"nothing", map[string]string{"etc/": ""}, "", "", "init /sbin/init, /usr/lib/systemd/systemd"},
		{"a chain of links to nowhere", map[string]string{"sbin/init": "->../lib/init", "lib/init": "->/bin/gone"}, "/sbin/init", "", "is a symbolic link to ../lib/init: no such file"},
		{"links in a circle", map[string]string{"sbin/init": "->init"}, "", "", "is a symbolic link to init: too many levels"},
		{"link that would leave the root", map[string]string{"sbin/init": "->../../../../bin/true"}, "/sbin/init", "", "no such file"},
		{"broken beside a good one", map[string]string{"sbin/init": "text", "usr/lib/systemd/systemd": static}, "", "", "init /sbin/init of the live system: is neither a program"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := tree(t, tt.files)
			got, err := Check(Spec{Init: tt.init}, root)
			if tt.err == "" {
				if err != nil || got != (Ready{Root: root, Init: tt.want}) {
					t.Errorf("Check = %v, %v, want %s", got, err, tt.want)
				}
				return
			}
			var initErr *InitError
			if !errors.As(err, &initErr) || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("Check = %v, want an InitError with %q", err, tt.err)
			}
		})
	}
}

// TestCheckFIFO: a FIFO in the place of the program is an error, not a wait for its writer.
func TestCheckFIFO(t *testing.T) {
	root := tree(t, map[string]string{"sbin/": ""})
	if err := unix.Mkfifo(filepath.Join(root, "sbin/init"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(Spec{}, root); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("Check = %v", err)
	}
}
