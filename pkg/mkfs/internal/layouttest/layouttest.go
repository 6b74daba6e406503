// Package layouttest checks that the offset that a field's comment gives, as in
//
//	Blocks uint64 // 8: of the file system
//
// is the one at which encoding/binary puts the field.
package layouttest

import (
	"encoding/binary"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"testing"
)

// Check compares the structures, by the names of their types, with the comments in the Go files of the folder. Each must have a comment
// behind each field. size is how long each is in all, in bytes.
func Check(t *testing.T, folder string, structures map[any]int) {
	t.Helper()
	comments := read(t, folder)
	for s, size := range structures {
		typ := reflect.TypeOf(s)
		if got := binary.Size(s); got != size {
			t.Errorf("%s has %d bytes, want %d", typ.Name(), got, size)
		}
		offset := 0
		for i := range typ.NumField() {
			f := typ.Field(i)
			if got, ok := comments[typ.Name()+"."+f.Name]; !ok || got != offset {
				t.Errorf("comment of %s.%s says offset %d (there: %v), want %d", typ.Name(), f.Name, got, ok, offset)
			}
			offset += binary.Size(reflect.New(f.Type).Interface())
		}
	}
}

// read returns the offsets in the comments, by type and field.
func read(t *testing.T, folder string) map[string]int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no Go files in %s: %v", folder, err)
	}
	number := regexp.MustCompile(`^// (\d+)(:|$)`)
	offsets := make(map[string]int)
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			structure, ok := spec.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, f := range structure.Fields.List {
				if f.Comment == nil {
					continue
				}
				if m := number.FindStringSubmatch(f.Comment.List[0].Text); m != nil {
					for _, field := range f.Names {
						offsets[spec.Name.Name+"."+field.Name], _ = strconv.Atoi(m[1])
					}
				}
			}
			return true
		})
	}
	return offsets
}
