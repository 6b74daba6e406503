package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the flags into the manual")

const (
	page  = "../../docs/man/liveboot-mkinitramfs.1"
	begin = `.\" the flags: made by go test ./cmds/mkinitramfs -update` + "\n"
	end   = `.\" end of the flags` + "\n"
)

// TestManual keeps liveboot-mkinitramfs(1) true to the flags.
func TestManual(t *testing.T) {
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(data), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s lacks the lines %q and %q", page, begin, end)
	}
	want := manualFlags()
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != want {
		t.Errorf("%s has not the flags of the program: run go test ./cmds/mkinitramfs -update", page)
	}
}

// manualFlags is the list of flags for the manual, in the order of -help.
func manualFlags() string {
	var b strings.Builder
	new(options).flags("mkinitramfs").VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		b.WriteString(".TP\n\\fB" + roff("-"+f.Name) + "\\fR")
		if value != "" {
			b.WriteString(` \fI` + roff(value) + `\fR`)
		}
		b.WriteString("\n")
		line := 0
		for word := range strings.FieldsSeq(roff(sentence(usage, f.DefValue))) {
			if line > 0 && line+len(word) > 78 {
				b.WriteString("\n")
				line = 0
			} else if line > 0 {
				b.WriteString(" ")
			}
			b.WriteString(word)
			line += len(word) + 1
		}
		b.WriteString("\n")
	})
	return b.String()
}

// sentence is the meaning of a flag, with its default where that is not said and not nothing.
func sentence(usage, value string) string {
	usage = strings.ToUpper(usage[:1]) + usage[1:]
	if value != "" && value != "false" {
		usage += fmt.Sprintf(" (default: %s)", value)
	}
	return usage + "."
}

func roff(s string) string { return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`).Replace(s) }
