package plan_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/fetch/curl"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/pkg/plan"
)

const manual = "../../docs/man"

// TestManual keeps liveboot(7) true to the rows, and to the sections of the README that it repeats.
func TestManual(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{
		"the kernel options": manualOptions(),
		"curl's options":     manualCurl(),
		"the diagnostics":    definitions(strings.Split(strings.TrimSpace(diagnostics()), "\n")[2:]),
	}
	for name, heading := range map[string]string{"the network": "The network", "the download": "The download", "the mounts": "Where things are mounted"} {
		_, section, ok := strings.Cut(string(text), "\n## "+heading+"\n")
		if !ok {
			t.Fatalf("the README has no section %q", heading)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		section, _, _ = strings.Cut(section, "\n<!-- ") // its table is made from the rows
		parts[name] = markdown(section)
	}
	keep(t, filepath.Join(manual, "liveboot.7"), `.\" %s`+"\n", parts)
}

// manualOptions is the list of the options that work.
func manualOptions() string {
	var b strings.Builder
	for _, row := range plan.Parameters() {
		if !row.Built() {
			continue
		}
		b.WriteString(".TP\n" + code(row.Key+row.Form))
		for _, alias := range row.Aliases {
			b.WriteString(", " + code(alias+row.Form))
		}
		b.WriteString("\n" + sentences(inline(row.Doc)))
		if row.Default != "" {
			fmt.Fprintf(&b, "Default: %s.\n", inline(row.Default))
		}
	}
	return b.String()
}

// manualCurl is the list of what rd.kiwi.live.curl_options= takes.
func manualCurl() string {
	var b strings.Builder
	for _, o := range curl.Options() {
		b.WriteString(".TP\n" + code(o.Names()) + "\n" + sentences(inline(o.Doc)))
	}
	return b.String()
}

// TestManualIsClean: the programs that show manuals have nothing to say against ours.
func TestManualIsClean(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(manual, "*.[1-9]"))
	if err != nil || len(pages) < 2 {
		t.Fatalf("pages = %v, %v, want two", pages, err)
	}
	debian := map[string]string{"groff": "groff-base", "mandoc": "mandoc"}
	for _, checker := range [][]string{{"groff", "-man", "-ww", "-z"}, {"mandoc", "-T", "lint", "-W", "style"}} {
		t.Run(checker[0], func(t *testing.T) {
			program := needs.Program(t, checker[0], debian[checker[0]])
			for _, page := range pages {
				if out, err := exec.Command(program, append(checker[1:], page)...).CombinedOutput(); err != nil || len(out) > 0 {
					t.Errorf("%s %s: %v\n%s", checker[0], page, err, out)
				}
			}
		})
	}
}

func TestRoff(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "Only words.", "Only words."},
		{"code", "`ip=<address>` and so on", `\fBip=\fR\fIaddress\fR and so on`},
		{"minus", "`--retry`", `\fB\-\-retry\fR`},
		{"emphasis", "the *first* one", `the \fIfirst\fR one`},
		{"link", "see [the page](docs/x.md)", "see the page"},
		{"not a request", ".sig", `\&.sig`},
		{"beyond ASCII", "a é b", `a \[u00E9] b`},
		{"what follows", "a …", "a ..."},
		{"backslash", `C:\`, `C:\e`},
		{"bar of a table", "`a\\|b`", `\fBa|b\fR`},
	} {
		if got := inline(tt.in); got != tt.want {
			t.Errorf("%s: inline(%q) = %q, want %q", tt.name, tt.in, got, tt.want)
		}
	}
}
