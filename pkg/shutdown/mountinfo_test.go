package shutdown

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMountinfo(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []Mount
	}{
		{"nothing", "", nil},
		{"plain", "22 33 0:20 / /proc rw,relatime shared:5 - proc proc rw\n", []Mount{{22, 33, "/proc", "proc", "proc"}}},
		{"no tags", "22 33 0:20 / /proc rw - proc proc rw\n", []Mount{{22, 33, "/proc", "proc", "proc"}}},
		{"many tags", "22 33 0:20 / /a rw shared:1 master:2 propagate_from:3 unbindable - xfs /dev/vdb rw\n", []Mount{{22, 33, "/a", "xfs", "/dev/vdb"}}},
		{"no line feed at the end", "22 33 0:20 / /a rw - xfs /dev/vdb rw", []Mount{{22, 33, "/a", "xfs", "/dev/vdb"}}},
		{"mangled names", `7 1 8:1 / /mnt/a\040b\011\134\012c rw - vfat //host/my\040files rw`, []Mount{{7, 1, "/mnt/a b\t\\\nc", "vfat", "//host/my files"}}},
		{"a backslash that mangles nothing", `7 1 8:1 / /a\b\09\400 rw - xfs x rw`, []Mount{{7, 1, `/a\b\09\400`, "xfs", "x"}}},
		{"a hyphen as a name", "7 1 8:1 / /- rw - xfs - rw\n", []Mount{{7, 1, "/-", "xfs", "-"}}},
		{"no hyphen", "7 1 8:1 / /a rw\n", nil},
		{"no source", "7 1 8:1 / /a rw - xfs\n", nil},
		{"no number", "x 1 8:1 / /a rw - xfs x rw\n7 -1 8:1 / /b rw - xfs x rw\n", nil},
		{"one bad line", "junk\n7 1 8:1 / /a rw - xfs x rw\n", []Mount{{7, 1, "/a", "xfs", "x"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, ParseMountinfo(tt.in)); diff != "" {
				t.Errorf("ParseMountinfo(%q) (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

func FuzzParseMountinfo(f *testing.F) {
	for _, name := range []string{"pivoted", "moved", "torn"} {
		text, err := os.ReadFile("testdata/" + name + ".mountinfo")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		all := ParseMountinfo(text)
		if n := strings.Count(text, "\n") + 1; len(all) > n {
			t.Errorf("ParseMountinfo found %d mounts in %d lines", len(all), n)
		}
		if ordered := Order(all); len(ordered) > len(all) {
			t.Errorf("Order made %d mounts of %d", len(ordered), len(all))
		}
	})
}

func TestOrder(t *testing.T) {
	for _, name := range []string{"pivoted", "moved", "torn"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("testdata/" + name + ".mountinfo")
			if err != nil {
				t.Fatal(err)
			}
			all := ParseMountinfo(string(text))
			ordered := Order(all)
			var points strings.Builder
			at := map[int]int{}
			for i, m := range ordered {
				points.WriteString(m.Point + "\n")
				at[m.ID] = i
			}
			want, err := os.ReadFile("testdata/" + name + ".order")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), points.String()); diff != "" {
				t.Errorf("Order(%s) (-want +got):\n%s", name, diff)
			}
			for i, m := range ordered {
				if parent, ok := at[m.Parent]; ok && parent < i && m.Parent != m.ID && name != "torn" {
					t.Errorf("%s comes behind %s, which it is attached to", m.Point, ordered[parent].Point)
				}
			}
		})
	}
}

// BenchmarkOrder: a machine that runs containers has thousands of mounts.
func BenchmarkOrder(b *testing.B) {
	all := make([]Mount, 4000)
	for i := range all {
		all[i] = Mount{ID: i + 2, Parent: 1 + i/8, Point: "/oldroot/a"}
	}
	for b.Loop() {
		Order(all)
	}
}
