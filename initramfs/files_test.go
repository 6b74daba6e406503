package initramfs

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/u-root/mkuimage/cpio"
)

func TestParseFile(t *testing.T) {
	tests := []struct {
		name, in, wantErr string
		want              File
	}{
		{name: "file", in: "ca.pem:/etc/ssl/certs/ca.pem", want: File{Source: "ca.pem", Destination: "/etc/ssl/certs/ca.pem"}},
		{name: "no destination", in: "ca.pem", wantErr: `"ca.pem"`},
		{name: "relative destination", in: "ca.pem:etc/ca.pem", wantErr: "want source:"},
		{name: "no source", in: ":/etc/ca.pem", wantErr: "want source:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseFile(tt.in)
			if !errorContains(err, tt.wantErr) || got != tt.want {
				t.Errorf("ParseFile(%q) = %v, %v, want %v, error with %q", tt.in, got, err, tt.want, tt.wantErr)
			}
		})
	}
}

func TestSiteSegment(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ca.pem"), []byte("certificate"))
	write(t, filepath.Join(dir, "cmdline.d/10-site.conf"), []byte("ip=dhcp"))
	write(t, filepath.Join(dir, "key"), []byte("secret"))
	if err := os.Chmod(filepath.Join(dir, "key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("ca.pem", filepath.Join(dir, "link.pem")); err != nil {
		t.Fatal(err)
	}
	a, names, err := siteSegment([]File{
		{filepath.Join(dir, "link.pem"), "/etc/ssl/certs/ca.pem"},
		{filepath.Join(dir, "cmdline.d"), "/etc/cmdline.d"},
		{filepath.Join(dir, "key"), "/etc/key"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/etc/ssl/certs/ca.pem", "/etc/cmdline.d/10-site.conf", "/etc/key"}; !slices.Equal(names, want) {
		t.Errorf("siteSegment() names %v, want %v", names, want)
	}
	raw, err := a.bytes()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"etc/ssl/certs/ca.pem": "certificate", "etc/cmdline.d/10-site.conf": "ip=dhcp", "etc/key": "secret"}
	if diff := cmp.Diff(want, contents(t, raw)); diff != "" {
		t.Errorf("segment (-want +got):\n%s", diff)
	}
	if got := a.records["etc/key"].Mode; got != cpio.S_IFREG|0o600 {
		t.Errorf("mode of etc/key = %#o, want 0600", got)
	}
}

func TestSiteSegmentErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a")
	write(t, file, nil)
	tests := []struct {
		name string
		in   []File
		want string
	}{
		{"missing", []File{{filepath.Join(dir, "missing"), "/a"}}, "missing"},
		{"twice", []File{{file, "/a"}, {file, "/a"}}, "/a is in the image twice"},
		{"root", []File{{file, "/"}}, "not the absolute path"},
		{"relative", []File{{file, "a"}}, "not the absolute path"},
		{"device", []File{{os.DevNull, "/a"}}, "neither a file nor a folder"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := siteSegment(tt.in); !errorContains(err, tt.want) {
				t.Errorf("siteSegment() = %v, want error with %q", err, tt.want)
			}
		})
	}
}

func TestReadArchive(t *testing.T) {
	a := newArchive()
	a.addSkeleton()
	a.file("etc/liveboot/image.json", []byte("{}"), 0o644)
	a.add(cpio.Symlink("init", "bbin/liveboot"))
	raw, err := a.bytes()
	if err != nil {
		t.Fatal(err)
	}
	again, err := readArchive(raw)
	if err != nil {
		t.Fatal(err)
	}
	second, err := again.bytes()
	if err != nil || !bytes.Equal(raw, second) {
		t.Errorf("bytes(readArchive(bytes)) differ, %v", err)
	}
	if r := again.records["dev/console"]; r.Mode != cpio.S_IFCHR|0o600 || r.Rmajor != 5 || r.Rminor != 1 {
		t.Errorf("dev/console = %v, want character device 5,1", r.Info)
	}
}

func TestNewCommandSet(t *testing.T) {
	if _, err := newCommandSet("example.org/x/ls", []string{uroot + "core/ls"}); !errorContains(err, "both are called ls") {
		t.Errorf("newCommandSet() = %v, want an error that names ls", err)
	}
	more := []string{"z", "a"}
	c, err := newCommandSet("example.org/init", more)
	if err != nil || !slices.IsSorted(c.packages) || more[0] != "z" {
		t.Errorf("newCommandSet() = %v, %v, argument now %v", c, err, more)
	}
	all, err := newCommandSet(InitPackage, DefaultCommands())
	if err != nil || len(all.packages) != len(DefaultCommands())+2 {
		t.Errorf("newCommandSet(default) = %d packages, %v, want %d", len(all.packages), err, len(DefaultCommands())+2)
	}
}

// TestToolsFile: go.mod pins the source of every command only if tools.go
// names it.
func TestToolsFile(t *testing.T) {
	b, err := os.ReadFile("tools.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append(DefaultCommands(), shellPackage) {
		if !bytes.HasPrefix([]byte(p), []byte(modulePath)) && !bytes.Contains(b, []byte(`"`+p+`"`)) {
			t.Errorf("tools.go lacks %s", p)
		}
	}
}
