package plan

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of kernel options into the README")

const (
	readme = "../../README.md"
	begin  = "<!-- kernel options: made by go test ./pkg/plan -update -->\n"
	end    = "<!-- end of kernel options -->\n"
)

// table is the README's table of the options that work.
func table() string {
	var b strings.Builder
	b.WriteString("| option | default | meaning |\n| --- | --- | --- |\n")
	for _, row := range Parameters() {
		if !row.Built() {
			continue
		}
		names := "`" + row.Key + row.Form + "`"
		for _, alias := range row.Aliases {
			names += ", `" + alias + row.Form + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", strings.ReplaceAll(names, "|", `\|`), row.Default, row.Doc)
	}
	return b.String()
}

// TestREADME keeps the README true to the rows.
func TestREADME(t *testing.T) {
	data, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(data), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s lacks the lines %q and %q", readme, begin, end)
	}
	if old == table() {
		return
	}
	if !*update {
		t.Fatalf("the table of kernel options in the README is not that of Parameters: run go test ./pkg/plan -update")
	}
	if err := os.WriteFile(readme, []byte(before+begin+table()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
