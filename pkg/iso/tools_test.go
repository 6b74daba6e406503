package iso

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/needs"
)

// program runs a program that makes or lists images and returns what it prints.
func program(t testing.TB, debian, name string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(needs.Program(t, name, debian), args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &stderr)
	}
	return stdout.String()
}

// deep is a path with more than the 8 levels of ISO 9660.
const deep = "d1/d2/d3/d4/d5/d6/d7/d8/d9/d10/deep"

// folder makes a folder with what formats treat in different ways, and returns its files.
func folder(t testing.TB) (dir string, files map[string]string) {
	t.Helper()
	dir = t.TempDir()
	files = map[string]string{
		"LiveOS/squashfs.img": strings.Repeat("container ", 70000), "boot/x86_64/loader/linux": "kernel", "boot/grub/grub.cfg": "menu", "empty": "",
		"a " + strings.Repeat("long name ", 20) + ".txt": "its name is in a continuation area", deep: "relocated",
	}
	for k := range 200 { // more than a sector of records
		files[fmt.Sprintf("many/file-with-a-longer-name-%03d.ext", k)] = fmt.Sprint(k)
	}
	for name, content := range files {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir, files
}

// links are symbolic links with what they lead to.
func links() map[string][2]string {
	return map[string][2]string{
		"link": {"boot/x86_64/loader/linux", "kernel"}, "absolute": {"/boot/grub/grub.cfg", "menu"}, "many/up": {"../boot/./grub/../grub/grub.cfg", "menu"},
		"long": {strings.Repeat("./", 150) + "boot/grub/grub.cfg", "menu"},
	}
}

func addLinks(t testing.TB, dir string) {
	t.Helper()
	for name, l := range links() {
		if err := os.Symlink(l[0], filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// tree opens an image made by a program.
func tree(t testing.TB, image string) (*Image, fs.ReadLinkFS) {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	i, err := Open(f)
	if err != nil {
		t.Fatal(err)
	}
	fsys, err := i.FS()
	if err != nil {
		t.Fatal(err)
	}
	return i, fsys
}

// contents reads all files of a tree.
func contents(t testing.TB, fsys fs.FS) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := fs.ReadFile(fsys, name)
		all[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTools(t *testing.T) {
	plain := func(name string) string { return strings.ToLower(name) }
	tests := []struct {
		name, debian string
		command      []string
		links        bool
		// files of the folder that are not on it, as their names are no longer unique or possible
		without string
		rename  func(string) string
	}{
		{"Rock Ridge, xorriso", "xorriso", []string{"xorriso", "-as", "mkisofs", "-quiet", "-R"}, true, "", nil},
		{"Rock Ridge, genisoimage", "genisoimage", []string{"genisoimage", "-quiet", "-R"}, true, "", nil},
		{"Rock Ridge and Joliet", "genisoimage", []string{"genisoimage", "-quiet", "-R", "-J", "-joliet-long"}, true, "", nil},
		{"Joliet, genisoimage", "genisoimage", []string{"genisoimage", "-quiet", "-J", "-joliet-long"}, false, "a ", nil},
		{"Joliet, xorriso", "xorriso", []string{"xorriso", "-as", "mkisofs", "-quiet", "--norock", "-J", "-joliet-long"}, false, "a ", nil},
		{"plain names, level 4", "genisoimage", []string{"genisoimage", "-quiet", "-iso-level", "4"}, false, "a ", plain},
		{"UDF alone", "genisoimage", []string{"genisoimage", "-quiet", "-udf"}, false, "", nil},
		{"UDF and Rock Ridge", "genisoimage", []string{"genisoimage", "-quiet", "-udf", "-R"}, true, "", nil},
		{"UDF and Joliet", "genisoimage", []string{"genisoimage", "-quiet", "-udf", "-J", "-joliet-long"}, false, "a ", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, files := folder(t)
			if tt.links {
				addLinks(t, dir)
			}
			if tt.command[0] == "genisoimage" && !slices.Contains(tt.command, "-R") && tt.rename == nil {
				// It leaves out what is too deep for level 1.
				delete(files, deep)
			}
			image := filepath.Join(t.TempDir(), "image")
			program(t, tt.debian, tt.command[0], append(tt.command[1:], "-V", "LABEL", "-o", image, dir)...)
			i, fsys := tree(t, image)
			if i.VolumeID != "LABEL" {
				t.Errorf("VolumeID = %q, want LABEL", i.VolumeID)
			}
			got := contents(t, fsys)
			want := map[string]string{}
			for name, content := range files {
				if tt.without != "" && strings.HasPrefix(name, tt.without) {
					for there := range got {
						if strings.HasPrefix(there, tt.without) {
							delete(got, there)
						}
					}
					continue
				}
				if tt.rename != nil {
					name = tt.rename(name)
				}
				want[name] = content
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if tt.links {
				checkLinks(t, fsys)
			}
			if err := fstest.TestFS(subset{fsys}, "boot/x86_64/loader/linux"); err != nil {
				t.Error(err)
			}
			checkFind(t, i, image)
			if tt.rename != nil || !tt.links {
				checkCase(t, i)
			}
		})
	}
}

// subset is a file system without what fstest would follow.
type subset struct{ fs.FS }

func checkLinks(t *testing.T, fsys fs.ReadLinkFS) {
	t.Helper()
	for name, l := range links() {
		target, err := fsys.ReadLink(name)
		if err != nil || target != l[0] {
			t.Errorf("ReadLink(%s) = %q, %v, want %q", name, target, err, l[0])
		}
		if b, err := fs.ReadFile(fsys, name); err != nil || string(b) != l[1] {
			t.Errorf("%s = %q, %v, want %q", name, b, err, l[1])
		}
	}
}

// checkFind compares where files are with what is there.
func checkFind(t *testing.T, i *Image, image string) {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, want := range map[string]string{"LiveOS/squashfs.img": strings.Repeat("container ", 70000), "/boot/grub/grub.cfg": "menu", "empty": ""} {
		offset, size, err := i.Find(name)
		b := make([]byte, size)
		if _, readErr := f.ReadAt(b, offset); errors.Join(err, readErr) != nil || string(b) != want {
			t.Errorf("Find(%s) = %d, %d, %v, with %.20q there, want %.20q", name, offset, size, errors.Join(err, readErr), b, want)
		}
	}
	if _, _, err := i.Find("LiveOS"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Find(LiveOS) = %v, want %v", err, fs.ErrNotExist)
	}
}

// checkCase looks a file up in capitals, where there is no Rock Ridge; UDF keeps to the letter.
func checkCase(t *testing.T, i *Image) {
	t.Helper()
	if there, err := i.udf(); err != nil || there != nil {
		return
	}
	if _, _, err := i.Find("BOOT/Grub/GRUB.CFG"); err != nil {
		t.Errorf("Find in capitals: %v", err)
	}
}

// TestSameAsXorriso compares folders, names and places with what another reader says.
func TestSameAsXorriso(t *testing.T) {
	dir, _ := folder(t)
	addLinks(t, dir)
	image := filepath.Join(t.TempDir(), "image")
	program(t, "xorriso", "xorriso", "-as", "mkisofs", "-quiet", "-R", "-J", "-joliet-long", "-o", image, dir)
	want := map[string]string{}
	for line := range strings.Lines(program(t, "xorriso", "xorriso", "-indev", image, "-find", "/", "-type", "f", "-exec", "report_lba")) {
		// File data lba: extent, start, blocks, bytes, 'name'
		fields := strings.Split(line, ",")
		if len(fields) < 5 || !strings.HasPrefix(line, "File data lba:") {
			continue
		}
		name := strings.Trim(strings.TrimSpace(strings.Join(fields[4:], ",")), "'")
		want[strings.TrimPrefix(name, "/")] = strings.TrimSpace(fields[1]) + " " + strings.TrimSpace(fields[3])
	}
	i, fsys := tree(t, image)
	got := map[string]string{}
	for name := range contents(t, fsys) {
		offset, size, err := i.Find(name)
		if err != nil {
			t.Error(err)
		}
		if size > 0 { // of an empty file nothing says where
			got[name] = fmt.Sprintf("%d %d", offset/SectorSize, size)
		}
	}
	maps.DeleteFunc(want, func(_, place string) bool { return strings.HasSuffix(place, " 0") })
	if len(want) < 200 {
		t.Fatalf("xorriso lists %d files", len(want))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("places (-xorriso +FS):\n%s", diff)
	}
}

// TestLarge: a file of more than 4 GiB, sparse, in the ways that there are to store it.
func TestLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("left out by -short: it takes 10 s")
	}
	const size = 4<<30 + 1<<20
	tests := []struct {
		name, debian string
		command      []string
	}{
		{"several extents", "xorriso", []string{"xorriso", "-as", "mkisofs", "-quiet", "-R", "-iso-level", "3"}},
		{"UDF, Rock Ridge shows it cut off", "genisoimage", []string{"genisoimage", "-quiet", "-R", "-udf", "-allow-limited-size"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "squashfs.img")
			f, err := os.Create(file)
			if err != nil {
				t.Fatal(err)
			}
			marks := map[int64]string{0: "first", 1<<32 - 3: "over 4 GiB", size - 4: "last"}
			for at, text := range marks {
				_, writeErr := f.WriteAt([]byte(text), at)
				err = errors.Join(err, writeErr)
			}
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
			image := filepath.Join(t.TempDir(), "image")
			// The image goes through a pipe, so that its zeros become holes.
			args := append(tt.command[1:], dir)
			cmd := exec.Command(needs.Program(t, tt.command[0], tt.debian), args...)
			if err := sparse(cmd, image); err != nil {
				t.Fatal(err)
			}
			i, fsys := tree(t, image)
			offset, got, err := i.Find("squashfs.img")
			if err != nil || got != size {
				t.Fatalf("Find = %d, %d, %v, want %d bytes", offset, got, err, int64(size))
			}
			r, err := fsys.Open("squashfs.img")
			if err != nil {
				t.Fatal(err)
			}
			raw, err := os.Open(image)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			for at, text := range marks {
				b, there := make([]byte, len(text)), make([]byte, len(text))
				_, err := r.(io.ReaderAt).ReadAt(b, at)
				_, rawErr := raw.ReadAt(there, offset+at)
				if errors.Join(err, rawErr) != nil || string(b) != text || string(there) != text {
					t.Errorf("at %d: %q, and %q on the image, %v, want %q", at, b, there, errors.Join(err, rawErr), text)
				}
			}
		})
	}
}

// sparse writes what a program prints to a file, without its zeros.
func sparse(cmd *exec.Cmd, file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	b, zeros := make([]byte, 1<<20), make([]byte, 1<<20)
	var at int64
	for {
		n, err := io.ReadFull(out, b)
		if n > 0 && !bytes.Equal(b[:n], zeros[:n]) {
			if _, err := f.WriteAt(b[:n], at); err != nil {
				return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
			}
		}
		at += int64(n)
		if err != nil {
			break
		}
	}
	return errors.Join(f.Truncate(at), cmd.Wait())
}
