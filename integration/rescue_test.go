package integration

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/liveboot/liveboot/integration/webserver"
)

// patience is how long a person waits before pressing a key once more.
const patience = 10 * time.Second

// openShell presses Enter at the offer, and waits for the shell.
func (m *machine) openShell() {
	m.t.Helper()
	m.enter("")
	m.insist(shellBanner())
}

// freshPrompt waits until the shell's prompt stands alone on its line. Something else may have written behind the last one: then Enter
// brings another.
func (m *machine) freshPrompt() {
	m.t.Helper()
	m.insist(prompt())
}

// insist waits for want, and presses Enter whenever a person would lose patience.
func (m *machine) insist(want *regexp.Regexp) {
	m.t.Helper()
	for {
		ctx, cancel := context.WithTimeout(m.ctx, patience)
		_, err := m.Expect(ctx, want, kernelPanic())
		cancel()
		if err == nil {
			return
		}
		if m.ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			m.t.Fatal(err)
		}
		m.enter("")
	}
}

// An ending is typed behind each command, so that the end of its output and its status are seen. The quotes keep what is
// typed from being taken for what the shell says.
const ending = `; echo do""ne-$?.`

var done = regexp.MustCompile(`done-(\d+)\.`)

// command waits for the shell's prompt, since what is typed before it is lost, types a command, and returns when the
// terminal has shown it.
func (m *machine) command(line string) {
	m.t.Helper()
	m.see(prompt())
	m.enter(line + ending)
	m.see(regexp.MustCompile(regexp.QuoteMeta(ending)))
}

// run runs a command in the shell. It fails the test, which goes on, if the status is not 0.
func (m *machine) run(line string) {
	m.t.Helper()
	m.command(line)
	if status := m.see(done).Groups[1]; status != "0" {
		m.t.Errorf("%s: status %s, want 0", line, status)
	}
}

// output runs a command in the shell and returns the groups of the first line of its output that matches. Without any the
// test fails, and goes on.
func (m *machine) output(line string, want *regexp.Regexp) []string {
	m.t.Helper()
	m.command(line)
	match, err := m.Expect(m.ctx, want, done, kernelPanic())
	if err != nil {
		m.t.Errorf("%s: %v", line, err)
	}
	if done.MatchString(match.Line.Text) {
		m.t.Errorf("%s: nothing but its status matches %q", line, want)
		return nil
	}
	m.see(done)
	return match.Groups
}

// child is the id of the process that does the work, as the shell's ps shows it.
func (m *machine) child() string {
	m.t.Helper()
	groups := m.output("ps -A", regexp.MustCompile(`^ *(\d{2,}|[2-9]) .*(?:liveboot|exe) *$`))
	if groups == nil {
		m.t.FailNow()
	}
	return groups[1]
}

// After a failure, Enter opens a shell in which every command of the image works, and poweroff ends the machine.
func TestRescueShell(t *testing.T) {
	t.Parallel()
	s := webserver.New(t, nil)
	answer := filepath.Join(t.TempDir(), "answer")
	if err := os.WriteFile(answer, []byte("served\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.File("/answer", answer)
	m := boot(t, "ip=dhcp root=live:"+s.URL+"/gone.iso")
	m.fails(fetching, "404")
	m.openShell()
	for _, c := range rescueCommands(s.URL) {
		if c.want == "" {
			m.run(c.line)
			continue
		}
		m.output(c.line, regexp.MustCompile(c.want))
	}
	m.see(prompt())
	m.enter("poweroff")
	m.exits("guest-shutdown")
}
