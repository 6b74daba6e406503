package udf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fstree"
	"github.com/liveboot/liveboot/pkg/fstree/fstreetest"
	"github.com/liveboot/liveboot/pkg/needs"
)

// volume makes a volume by hand, with what the programs here do not write. Its partition begins at sector first.
type volume struct{ image []byte }

const (
	first   = 300
	sectors = 400
)

// put writes a descriptor of a kind.
func (v *volume) put(sector int, kind uint16, body []byte) {
	b := v.image[sector*sectorSize:][:sectorSize]
	clear(b)
	copy(b, body)
	binary.LittleEndian.PutUint16(b, kind)
	b[4] = 0
	var sum byte
	for _, c := range b[:16] {
		sum += c
	}
	b[4] = sum
}

type field struct {
	offset int
	value  any
}

// body is a descriptor's content with these fields.
func body(fields ...field) []byte {
	b := make([]byte, sectorSize)
	for _, f := range fields {
		if text, ok := f.value.([]byte); ok {
			copy(b[f.offset:], text)
		} else if _, err := binary.Encode(b[f.offset:], binary.LittleEndian, f.value); err != nil {
			panic(err)
		}
	}
	return b
}

func words(all ...uint32) (b []byte) {
	for _, w := range all {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

// identifier is an entry of a folder for the file entry in a block.
func identifier(text string, block uint32, flags byte) []byte {
	b := make([]byte, 38)
	binary.LittleEndian.PutUint16(b, tagFileIdentifier)
	b[18], b[19] = flags, byte(len(text))
	copy(b[20:], words(sectorSize, block))
	b = append(b, text...)
	return append(b, make([]byte, -len(b)&3)...)
}

// newVolume makes one with these files in the root, in blocks 10 and on.
func newVolume(files ...[]byte) *volume {
	v := &volume{make([]byte, sectors*sectorSize)}
	for k, id := range []string{"CD001", "BEA01", "NSR03", "TEA01"} {
		copy(v.image[(firstDescriptor+k)*sectorSize+1:], id)
	}
	v.put(anchorAt, tagAnchor, body(field{16, words(4*sectorSize, 260)}))
	v.put(260, 1, nil)
	v.put(261, tagPartition, body(field{188, words(first, 100)}))
	v.put(262, tagLogicalVolume, body(field{212, uint32(sectorSize)}, field{248, words(sectorSize, 0)}, field{264, words(6, 1)}, field{440, []byte{1, 6, 1, 0, 0, 0}}))
	v.put(263, tagTerminating, nil)
	v.put(first, tagFileSet, body(field{400, words(sectorSize, 1)}))
	names := bytes.Join([][]byte{
		identifier("", 1, flagParent), identifier("\x08plain", 10, 0), identifier("\x10\x00l\x00i\x00n\x00k", 11, 0), identifier("\x08gone", 12, flagDeleted),
		identifier("\x08\xe9t\xe9", 12, 0),
	}, nil)
	// The root is in its entry.
	v.put(first+1, tagFileEntry, body(field{27, uint8(4)}, field{34, uint16(3)}, field{44, uint32(0x14a5)}, field{56, uint64(len(names))}, field{172, uint32(len(names))}, field{176, names}))
	for k, f := range files {
		v.put(first+10+k, tagExtendedEntry, f)
	}
	return v
}

// entry is an extended file entry.
func entry(kind byte, size uint64, how uint16, descriptors []byte) []byte {
	return body(field{27, kind}, field{34, how}, field{44, uint32(0x1084)}, field{56, size},
		field{92, uint16(0x1000 | 60)}, field{94, uint16(2026)}, field{96, []byte{11, 22, 10, 30, 15}},
		field{208, uint32(8)}, field{212, uint32(len(descriptors))}, field{216, append(make([]byte, 8), descriptors...)})
}

// target is a symbolic link's components for "/a/../b".
var target = []byte{2, 0, 0, 0, 5, 2, 0, 0, 8, 'a', 3, 0, 0, 0, 5, 2, 0, 0, 8, 'b'}

func TestByHand(t *testing.T) {
	tests := []struct {
		name  string
		entry []byte
		want  string
	}{
		{"in its entry", entry(5, 5, 3, []byte("inner")), "inner"},
		{"short descriptors with a hole", entry(5, sectorSize+3+4, 0, words(4, 50, 2<<30|(sectorSize-1), 0, 4, 51)), "fift" + string(make([]byte, sectorSize-1)) + "one "},
		{"long descriptors", entry(249, 6, 1, append(words(4, 50, 0, 0), words(2, 51, 0, 0)...)), "fifton"},
		{"extended descriptors", entry(5, 4, 2, words(4, 4, 4, 51, 0)), "one "},
		{"descriptors elsewhere", entry(5, 8, 0, words(4, 51, 3<<30|sectorSize, 52)), "one fift"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newVolume(tt.entry, entry(12, uint64(len(target)), 3, target), entry(5, 1, 3, []byte("e")))
			copy(v.image[(first+50)*sectorSize:], "fifty")
			copy(v.image[(first+51)*sectorSize:], "one more")
			v.put(first+52, tagAllocationExtent, body(field{20, words(8, 4, 50)}))
			root, err := Open(bytes.NewReader(v.image))
			if err != nil {
				t.Fatal(err)
			}
			fsys := fstree.New(root)
			if b, err := fs.ReadFile(fsys, "plain"); err != nil || string(b) != tt.want {
				t.Errorf("plain = %q, %v, want %q", b, err, tt.want)
			}
			if got, err := fsys.ReadLink("link"); err != nil || got != "/a/../b" {
				t.Errorf("ReadLink = %q, %v, want /a/../b", got, err)
			}
			info, err := fs.Stat(fsys, "plain")
			if want := time.Date(2026, 11, 22, 9, 30, 15, 0, time.UTC); err != nil || info.Mode() != 0o444 || !info.ModTime().Equal(want) {
				t.Errorf("Stat = %v %v, %v, want 0444 %v", info.Mode(), info.ModTime(), err, want)
			}
			entries, err := fs.ReadDir(fsys, ".")
			if err != nil || len(entries) != 3 || entries[2].Name() != "été" {
				t.Errorf("ReadDir = %v, %v, want link, plain and été", entries, err)
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	tests := []struct {
		name   string
		change func(*volume)
		want   error
	}{
		{"no anchor", func(v *volume) { clear(v.image[anchorAt*sectorSize:][:sectorSize]) }, ErrFormat},
		{"damaged descriptor", func(v *volume) { v.image[262*sectorSize+8]++ }, ErrFormat},
		{"cut off", func(v *volume) { v.image = v.image[:first*sectorSize] }, ErrFormat},
		{"another block size", func(v *volume) { v.put(262, tagLogicalVolume, body(field{212, uint32(512)})) }, errors.ErrUnsupported},
		{"a virtual partition", func(v *volume) {
			v.put(262, tagLogicalVolume, body(field{212, uint32(sectorSize)}, field{264, words(64, 1)}, field{440, []byte{2, 64}}))
		}, errors.ErrUnsupported},
		{"root is a file", func(v *volume) { v.put(first+1, tagFileEntry, body(field{27, uint8(5)})) }, ErrFormat},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newVolume()
			tt.change(v)
			if _, err := Open(bytes.NewReader(v.image)); !errors.Is(err, tt.want) {
				t.Errorf("Open = %v, want %v", err, tt.want)
			}
		})
	}
}

// TestReserve: the volume is found by the second sequence when the first is damaged.
func TestReserve(t *testing.T) {
	v := newVolume()
	v.put(anchorAt, tagAnchor, body(field{16, words(4*sectorSize, 280, 4*sectorSize, 260)}))
	if _, err := Open(bytes.NewReader(v.image)); err != nil {
		t.Error(err)
	}
}

// TestMkudffs opens what udftools make, which can fill nothing in.
func TestMkudffs(t *testing.T) {
	for _, revision := range []string{"1.02", "1.50", "2.00", "2.01"} {
		t.Run(revision, func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "image")
			out, err := exec.Command(needs.Program(t, "mkudffs", "udftools"), "--utf8", "--blocksize=2048", "--udfrev="+revision, "--new-file", image, "4096").CombinedOutput()
			if err != nil {
				t.Fatalf("mkudffs: %v\n%s", err, out)
			}
			f, err := os.Open(image)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if there, err := Present(f); !there || err != nil {
				t.Errorf("Present = %v, %v, want true", there, err)
			}
			root, err := Open(f)
			if err != nil {
				t.Fatal(err)
			}
			if entries, err := root.Entries(); err != nil {
				t.Errorf("Entries = %v, %v", entries, err)
			}
		})
	}
}

func TestPresent(t *testing.T) {
	if there, err := Present(bytes.NewReader(newVolume().image[:20*sectorSize])); !there || err != nil {
		t.Errorf("Present = %v, %v, want true", there, err)
	}
	for name, image := range map[string][]byte{"empty": nil, "zeros": make([]byte, 40*sectorSize), "cut off": newVolume().image[:17*sectorSize+1]} {
		if there, err := Present(bytes.NewReader(image)); there || err != nil {
			t.Errorf("Present(%s) = %v, %v, want false", name, there, err)
		}
	}
}

// FuzzOpen has everything from the anchor on.
func FuzzOpen(f *testing.F) {
	v := newVolume(entry(5, 8, 0, words(4, 51, 3<<30|sectorSize, 52)), entry(12, uint64(len(target)), 3, target))
	v.put(first+52, tagAllocationExtent, body(field{20, words(8, 4, 50)}))
	f.Add(v.image[anchorAt*sectorSize:])
	f.Fuzz(func(t *testing.T, b []byte) {
		root, err := Open(shifted{bytes.NewReader(b)})
		if err == nil {
			fstreetest.Walk(fstree.New(root))
		}
	})
}

// shifted is a reader of what is behind the sectors before the anchor.
type shifted struct{ *bytes.Reader }

func (s shifted) ReadAt(b []byte, at int64) (int, error) {
	if at < anchorAt*sectorSize {
		clear(b)
		return len(b), nil
	}
	return s.Reader.ReadAt(b, at-anchorAt*sectorSize)
}
