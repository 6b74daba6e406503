package partition

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/pkg/partition/partitiontest"
)

// tool runs a program of Debian's package and returns its standard output. If it fails, so does the test.
func tool(t testing.TB, debian, stdin, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(needs.Program(t, program, debian), args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TZ=UTC")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}

// edited writes the first MiB of an image to a disk, adds the partition, and returns the disk's file and the edit. What lies in the image
// behind its own area, and is no table, is compared.
func edited(t testing.TB, image string, size int64) (string, Edit) {
	t.Helper()
	in, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	end, err := in.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, min(end, mib))
	if _, err := in.ReadAt(content, 0); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e, err := Append(content[:HeadSize], Disk{Size: size, SectorSize: 512}, end, "cow")
	if err != nil {
		t.Fatalf("Append() = %v", err)
	}
	checkEdit(t, newDisk(size, 512).write(0, content[:HeadSize]), end, e)
	for _, w := range append([]Write{{Data: content}}, e.writes()...) {
		if _, err := f.WriteAt(w.Data, w.Offset); err != nil {
			t.Fatal(err)
		}
	}
	after := make([]byte, len(content))
	if _, err := f.ReadAt(after, 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(after[32<<10:], content[32<<10:]) {
		t.Error("the edit has changed the image behind its first 32 KiB")
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path, e
}

// TestImages: the programs that people use find nothing to complain of on a disk that Append was used for, and what Read finds.
func TestImages(t *testing.T) {
	for _, kind := range partitiontest.Kinds() {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			image := partitiontest.ISO(t, kind)
			for _, size := range []int64{64 * mib, 3*tib + 512} {
				path, e := edited(t, image, size)
				checkTools(t, path)
				if got := len(e.Table) > 0; got != kind.GPT {
					t.Errorf("Append() writes a GPT: %t, want %t", got, kind.GPT)
				}
			}
		})
	}
}

// TestCachedImages does the same with the ISOs of KIWI NG that the tests in integration have left in the cache, if any: TestImages has
// the like of them.
func TestCachedImages(t *testing.T) {
	cache := os.Getenv("LIVEBOOT_CACHE")
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(dir, "liveboot")
	}
	images, err := filepath.Glob(filepath.Join(cache, "kiwi-live-*.iso"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d ISOs in %s", len(images), cache)
	for _, image := range images {
		path, e := edited(t, image, 2*gib)
		checkTools(t, path)
		if e.Entry.Number != 3 {
			t.Errorf("Append() adds partition %d to %s, want 3", e.Entry.Number, image)
		}
	}
}

// checkTools compares what Read finds with what sfdisk and libblkid (partx) find, and lets sgdisk and fdisk complain.
func checkTools(t testing.TB, path string) {
	t.Helper()
	got := readFile(t, path)
	if d := cmp.Diff(withoutExtended(partx(t, path)), withoutExtended(got.Entries)); d != "" {
		t.Errorf("-libblkid +Read()\n%s", d)
	}
	if d := cmp.Diff(sfdisk(t, path), places(got.Entries)); d != "" {
		t.Errorf("-sfdisk +Read()\n%s", d)
	}
	if got.Kind == GPT {
		if out := tool(t, "gdisk", "", "sgdisk", "-v", path); !strings.Contains(out, "No problems found.") || strings.Contains(out, "Problem:") {
			t.Errorf("sgdisk -v:\n%s", out)
		}
	}
	out := tool(t, "fdisk", "", "fdisk", "-l", path)
	if regexp.MustCompile(`mismatch|corrupt|not on the end|does not|invalid|ignored`).MatchString(out) {
		t.Errorf("fdisk -l:\n%s", out)
	}
}

func readFile(t testing.TB, path string) *Table {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	table, err := Read(f, Disk{Size: size, SectorSize: 512})
	if err != nil || table.Problem != nil {
		t.Fatalf("Read(%s) = %+v, %v", path, table, err)
	}
	return table
}

// place is where a partition is, in bytes.
type place struct{ Start, Size int64 }

func places(entries []Entry) []place {
	var all []place
	for _, e := range entries {
		all = append(all, place{e.Start, e.Size})
	}
	return all
}

// withoutExtended leaves extended partitions out, which libblkid shows with a size of two sectors.
func withoutExtended(entries []Entry) []Entry {
	return slices.DeleteFunc(slices.Clone(entries), func(e Entry) bool { return slices.Contains([]string{"0x5", "0xf", "0x85"}, e.Type) })
}

// partx returns what libblkid, and with it udev, finds.
func partx(t testing.TB, path string) []Entry {
	t.Helper()
	var all []Entry
	for line := range strings.Lines(tool(t, "util-linux", "", "partx", "-P", "-o", "NR,START,SECTORS,TYPE,NAME,UUID", path)) {
		value := make(map[string]string)
		for _, m := range regexp.MustCompile(`(\w+)="([^"]*)"`).FindAllStringSubmatch(line, -1) {
			value[m[1]] = m[2]
		}
		number := func(key string) int64 {
			n, err := strconv.ParseInt(value[key], 10, 64)
			if err != nil {
				t.Fatalf("partx: %q: %v", line, err)
			}
			return n
		}
		all = append(all, Entry{
			Number: int(number("NR")), Start: number("START") * 512, Size: number("SECTORS") * 512,
			Type: value["TYPE"], Name: value["NAME"], UUID: value["UUID"],
		})
	}
	return all
}

// sfdisk returns the places that sfdisk finds.
func sfdisk(t testing.TB, path string) []place {
	t.Helper()
	var dump struct {
		PartitionTable struct {
			SectorSize int64
			Partitions []place
		}
	}
	if err := json.Unmarshal([]byte(tool(t, "fdisk", "", "sfdisk", "--json", path)), &dump); err != nil {
		t.Fatal(err)
	}
	var all []place
	for _, p := range dump.PartitionTable.Partitions {
		all = append(all, place{p.Start * dump.PartitionTable.SectorSize, p.Size * dump.PartitionTable.SectorSize})
	}
	return all
}

// TestReadTools: Read finds what sfdisk has made, as sfdisk and libblkid do.
func TestReadTools(t *testing.T) {
	for name, script := range map[string]string{
		"MBR":       "label: dos\nlabel-id: 0x89abcdef\nstart=2048, size=10000, type=83, bootable\nstart=20480, size=1000, type=ef\n",
		"MBR, gaps": "label: dos\n2: start=2048, size=10000, type=7\n4: start=20480, size=1000, type=c\n",
		"logical": "label: dos\nsize=1M\nsize=100M, type=5\nsize=10M, type=82\nstart=250M, size=5M\n" +
			"5: size=20M\n6: size=30M, type=8e\n7: size=5M\n",
		"GPT":         "label: gpt\nsize=10M, name=\"first\"\nsize=20M, type=U, name=\"zwölf 💾\", attrs=\"RequiredPartition GUID:63\"\n",
		"GPT, gaps":   "label: gpt\n3: size=10M\n128: size=20M, name=\"last\"\n",
		"GPT, 248":    "label: gpt\ntable-length: 248\nfirst-lba: 64\n248: start=64, size=1000, name=\"ISO9660\"\n",
		"GPT, 4":      "label: gpt\ntable-length: 4\n4: size=10M\n",
		"no entries":  "label: gpt\n",
		"no entries2": "label: dos\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, 300*mib); err != nil {
				t.Fatal(err)
			}
			tool(t, "fdisk", script, "sfdisk", "-q", path)
			if strings.HasPrefix(name, "no entries") {
				if got := readFile(t, path); got.Kind == None || got.Entries != nil {
					t.Errorf("Read() = %+v, want a table without entries", got)
				}
				return
			}
			checkTools(t, path)
		})
	}
}
