package iso

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/fstree"
	"github.com/liveboot/liveboot/pkg/iso/extent"
	"github.com/liveboot/liveboot/pkg/iso/udf"
)

// wrong is a folder of a UDF that gives an error for everything.
type wrong struct {
	fstree.Node
	err error
}

func (w wrong) Entries() ([]fstree.Entry, error)   { return nil, w.err }
func (w wrong) Lookup(string) (fstree.Node, error) { return nil, w.err }

// TestDamagedUDF: what the ISO has is read from it, but not what it may show cut off.
func TestDamagedUDF(t *testing.T) {
	v := &volume{r: strings.NewReader("content"), names: rockRidge}
	file := func(name string, size int64) *node {
		return &node{v: v, record: record{alternate: name, mode: 0o444, pieces: []extent.Extent{{Size: size}}}}
	}
	folder := func(name string, children ...*node) *node {
		n := &node{v: v, record: record{alternate: name, mode: fs.ModeDir | 0o555}, children: children}
		n.once.Do(func() {})
		return n
	}
	root := folder("", file("sound", 7), folder("a", file("sound", 7), file("large", 1<<32-SectorSize)), file("large", 1<<32-1))
	broken := errors.New("broken line")
	for _, tt := range []struct {
		name   string
		damage error
		want   map[string]error
	}{
		{"damaged", fmt.Errorf("x: %w", udf.ErrFormat), map[string]error{
			"sound": nil, "a/sound": nil, "a": nil, ".": nil, "large": udf.ErrFormat, "a/large": udf.ErrFormat, "none": fs.ErrNotExist, "a/none": fs.ErrNotExist,
		}},
		{"not known", errors.ErrUnsupported, map[string]error{"sound": nil, "a/sound": nil, "large": errors.ErrUnsupported}},
		{"not read", broken, map[string]error{"sound": broken, "a/sound": broken, "none": broken}},
	} {
		fsys := fstree.New(&bridged{node: root, udf: wrong{root, tt.damage}})
		for path, want := range tt.want {
			info, err := fs.Stat(fsys, path)
			if !errors.Is(err, want) {
				t.Errorf("%s: Stat(%s) = %v, want %v", tt.name, path, err, want)
			}
			if err != nil || info.IsDir() {
				continue
			}
			f, err := fsys.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(f); err != nil || string(b) != "content" {
				t.Errorf("%s: %s = %q, %v, want its content", tt.name, path, b, err)
			}
		}
	}
	entries, err := fs.ReadDir(fstree.New(&bridged{node: root, udf: wrong{root, udf.ErrFormat}}), "a")
	if err != nil || len(entries) != 2 {
		t.Errorf("ReadDir(damaged) = %v, %v, want the two of the ISO", entries, err)
	}
}
