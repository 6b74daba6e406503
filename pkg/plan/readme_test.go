package plan

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/fetch/curl"
)

var update = flag.Bool("update", false, "write the tables of options into the README")

const readme = "../../README.md"

// tables of the README, by the words between which they stand.
func tables() map[string]string {
	return map[string]string{"kernel options": kernelOptions(), "curl's options": curlOptions()}
}

// kernelOptions is the table of the options that work.
func kernelOptions() string {
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
func TestREADME(t *testing.T) {
	data, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for name, table := range tables() {
		begin, end := fmt.Sprintf("<!-- %s: made by go test ./pkg/plan -update -->\n", name), fmt.Sprintf("<!-- end of %s -->\n", name)
		before, rest, ok1 := strings.Cut(text, begin)
		old, after, ok2 := strings.Cut(rest, end)
		if !ok1 || !ok2 {
			t.Fatalf("%s lacks the lines %q and %q", readme, begin, end)
		}
		if old != table && !*update {
			t.Errorf("the table of %s in the README is not that of the program: run go test ./pkg/plan -update", name)
		}
		text = before + begin + table + end + after
	}
	if *update {
		if err := os.WriteFile(readme, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
