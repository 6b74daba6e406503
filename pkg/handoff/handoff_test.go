package handoff

import (
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

// dynamic is a program of this machine that has a dynamic loader: every Debian has this one.
func dynamic(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestCheck(t *testing.T) {
	program := dynamic(t)
	f, err := os.Open("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	loader, err := interpreterOf(f)
	if err != nil || loader == "" {
		t.Fatalf("interpreterOf(/bin/true) = %q, %v", loader, err)
	}
	data, err := os.ReadFile(loader)
	if err != nil {
		t.Fatal(err)
	}
	static := string(data) // a dynamic loader has no loader itself

	for _, tt := range []struct {
		name  string
		files map[string]string
		init  string
		want  string // the init, or
		err   string
	}{
		{"static program", map[string]string{"sbin/init": static}, "", "/sbin/init", ""},
		{"program with its loader", map[string]string{"sbin/init": program, loader: static}, "", "/sbin/init", ""},
		{"program without its loader", map[string]string{"sbin/init": program}, "", "", "its interpreter " + loader},
		{"absolute link, as on a merged /usr", map[string]string{"sbin": "->usr/sbin", "usr/sbin/init": "->/lib/systemd/systemd", "lib": "->usr/lib", "usr/lib/systemd/systemd": static}, "", "/sbin/init", ""},
		{"link that would leave the root", map[string]string{"sbin/init": "->../../../../bin/true"}, "", "", "no such file"},
		{"only systemd", map[string]string{"usr/lib/systemd/systemd": static}, "", "/usr/lib/systemd/systemd", ""},
		{"script", map[string]string{"sbin/init": "#! /bin/sh -e\n", "bin/sh": static}, "", "/sbin/init", ""},
		{"script without its interpreter", map[string]string{"sbin/init": "#!/bin/sh\n"}, "", "", "its interpreter /bin/sh: no such file"},
		{"script that names nothing", map[string]string{"sbin/init": "#!\n"}, "", "", "names no interpreter"},
		{"scripts in a circle", map[string]string{"sbin/init": "#!/sbin/init\n"}, "", "", "too many interpreters"},
		{"named", map[string]string{"sbin/init": static, "bin/other": static}, "/bin/other", "/bin/other", ""},
		{"named but missing", map[string]string{"sbin/init": static}, "/bin/other", "", "init /bin/other of the live system: no such file"},
		{"nothing", map[string]string{"etc/": ""}, "", "", "init /sbin/init, /usr/lib/systemd/systemd"},
		{"not executable", map[string]string{"sbin/init": "-" + static}, "", "", "is not executable (mode -rw-r--r--)"},
		{"a folder", map[string]string{"sbin/init/": ""}, "", "", "is not a regular file"},
		{"empty", map[string]string{"sbin/init": ""}, "", "", "neither a program nor a script"},
		{"cut off", map[string]string{"sbin/init": static[:30]}, "", "", "neither a program nor a script"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := tree(t, tt.files)
			got, err := Check(Spec{Init: tt.init}, root)
			if tt.err == "" {
				if err != nil || got != (Ready{root, tt.want}) {
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

func TestRemoveTree(t *testing.T) {
	root := tree(t, map[string]string{"a": "x", "b/c/d": "x", "b/e": "->/etc/passwd", "f": "->b"})
	folder, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if err := removeTree(int(folder.Fd()), "."); err != nil {
		t.Errorf("removeTree: %v", err)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
		t.Errorf("removeTree left %v, %v", left, err)
	}
	if _, err := os.Stat("/etc/passwd"); err != nil {
		t.Errorf("removeTree followed a link: %v", err)
	}
}

// TestSwitchRootRefuses: a process that is not number 1 must not get as far as deleting something.
func TestSwitchRootRefuses(t *testing.T) {
	err := SwitchRoot(Ready{Root: t.TempDir(), Init: "/sbin/init"}, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "only process 1") {
		t.Errorf("SwitchRoot = %v, want it refused", err)
	}
}
