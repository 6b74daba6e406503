package kernelmodules_test

import (
	"bytes"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/kernelmodules"
	"github.com/liveboot/liveboot/pkg/kernelmodules/depmod/depmodtest"
	"github.com/liveboot/liveboot/pkg/kernelmodules/kernelmodulestest"
)

func TestMerge(t *testing.T) {
	module := func(records ...string) *fstest.MapFile { return &fstest.MapFile{Data: depmodtest.Module(records...)} }
	index := fstest.MapFS{
		"modules.dep":     kernelmodulestest.Text("kernel/a.ko.gz: kernel/b.ko.gz", "kernel/b.ko.gz:"),
		"modules.alias":   kernelmodulestest.Text("alias from-the-index a"),
		"kernel/a.ko.gz":  {Data: gzipped("a")},
		"kernel/b.ko.gz":  {Data: gzipped("b")},
		"modules.builtin": kernelmodulestest.Text("kernel/c.ko"),
	}
	tests := []struct {
		name  string
		in    []kernelmodules.Place
		dep   string
		alias string
	}{
		{
			"the second knows all, the first has one uncompressed",
			[]kernelmodules.Place{{Name: "first", FS: fstest.MapFS{"kernel/a.ko": module("alias=from-the-module"), "modules.dep": kernelmodulestest.Text("kernel/a.ko:")}}, {Name: "second", FS: index}},
			"kernel/a.ko: kernel/b.ko.gz\nkernel/b.ko.gz:\n", "alias from-the-index a\n",
		},
		{
			"neither knows all",
			[]kernelmodules.Place{
				{Name: "first", FS: fstest.MapFS{"kernel/a.ko": module("depends=b", "alias=from-the-module"), "modules.dep": kernelmodulestest.Text("kernel/a.ko:")}},
				{Name: "second", FS: fstest.MapFS{"kernel/b.ko": module(), "modules.dep": kernelmodulestest.Text("kernel/b.ko:")}},
			},
			"kernel/a.ko: kernel/b.ko\nkernel/b.ko:\n", "alias from-the-module a\n",
		},
		{
			"an index with more than there is",
			[]kernelmodules.Place{{Name: "first", FS: fstest.MapFS{"kernel/a.ko": module("depends=b"), "kernel/c.ko": module(), "modules.dep": kernelmodulestest.Text("kernel/a.ko: kernel/b.ko", "kernel/b.ko:", "kernel/c.ko:")}}},
			"kernel/c.ko:\n", "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fsys, err := kernelmodules.Merge(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]string{"modules.dep": tt.dep, "modules.alias": tt.alias} {
				f, err := fsys.Open(name)
				if err != nil {
					t.Fatal(err)
				}
				var b bytes.Buffer
				if _, err := b.ReadFrom(f); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, b.String()); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
	if _, err := kernelmodules.Merge([]kernelmodules.Place{{Name: "here", FS: fstest.MapFS{"kernel/a.ko": kernelmodulestest.Text("text")}}}); !errorContains(err, "kernel/a.ko") {
		t.Errorf("Merge() = %v, want an error that names the module", err)
	}
}
