package plan_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/fetch/curl"
	"github.com/liveboot/liveboot/pkg/plan"
)

var update = flag.Bool("update", false, "write the tables of options into the README and the manual")

const readme = "../../README.md"

// tables of the README, by the words between which they stand.
func tables() map[string]string {
	return map[string]string{"kernel options": kernelOptions(), "curl's options": curlOptions(), "what the screen says": diagnostics()}
}

// kernelOptions is the table of the options that work.
func kernelOptions() string {
	var b strings.Builder
	b.WriteString("| option | default | meaning |\n| --- | --- | --- |\n")
	for _, row := range plan.Parameters() {
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

// curlOptions is the table of what rd.kiwi.live.curl_options= takes.
func curlOptions() string {
	var b strings.Builder
	b.WriteString("| option | meaning |\n| --- | --- |\n")
	for _, o := range curl.Options() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", o.Names(), o.Doc)
	}
	return b.String()
}

// TestREADME keeps the README true to the rows.
func TestREADME(t *testing.T) { keep(t, readme, "<!-- %s -->\n", tables()) }

// keep compares the generated parts of a file with the program, or writes them. Each stands between two comments, of which mark is the form.
func keep(t *testing.T, file, mark string, parts map[string]string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	content := string(data)
	for name, part := range parts {
		begin, end := fmt.Sprintf(mark, name+": made by go test ./pkg/plan -update"), fmt.Sprintf(mark, "end of "+name)
		before, rest, ok1 := strings.Cut(content, begin)
		old, after, ok2 := strings.Cut(rest, end)
		if !ok1 || !ok2 {
			t.Fatalf("%s lacks the lines %q and %q", file, begin, end)
		}
		if old != part && !*update {
			t.Errorf("%s: %s are not those of the program: run go test ./pkg/plan -update", file, name)
		}
		content = before + begin + part + end + after
	}
	if *update {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
