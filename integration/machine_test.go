package integration

import (
	"context"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/integration/livefacts"
	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/integration/webserver"
	"github.com/liveboot/liveboot/qemu"
)

// bootTime is how long a small live system may take to its report, and a failing boot to its message. It is some 15 s
// under TCG on an idle host with two processors.
const bootTime = 4 * time.Minute

// buildContext is for what several tests share: no single test's end should end it.
func buildContext() context.Context { return context.Background() }

// machine is a guest that boots our pair.
type machine struct {
	*qemu.VM
	t   testing.TB
	ctx context.Context
}

// boot starts a machine with a card on the user network and these words of the kernel command line. A change may alter
// everything else.
func boot(t testing.TB, words string, changes ...func(*qemu.Config)) *machine {
	t.Helper()
	return bootWithin(t, bootTime, words, changes...)
}

// bootWithin is boot with another limit for everything that the test does with the machine.
func bootWithin(t testing.TB, limit time.Duration, words string, changes ...func(*qemu.Config)) *machine {
	t.Helper()
	notShort(t)
	dir, err := pair()
	if err != nil {
		t.Fatal(err)
	}
	c := qemu.Config{
		Kernel: filepath.Join(dir, "vmlinuz"), Initrd: filepath.Join(dir, "initrd"),
		Append:    append([]string{"console=ttyS0"}, strings.Fields(words)...),
		MemoryMiB: 1024, NICs: []qemu.NIC{{}}, NoReboot: true,
	}
	for _, change := range changes {
		change(&c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return &machine{VM: qemu.Start(t, c), t: t, ctx: ctx}
}

// see waits for a line and fails the test when it does not come, or one of unless does.
func (m *machine) see(want *regexp.Regexp, unless ...*regexp.Regexp) qemu.Match {
	m.t.Helper()
	match, err := m.Expect(m.ctx, want, append(unless, kernelPanic())...)
	if err != nil {
		m.t.Fatal(err)
	}
	return match
}

// hasSaid fails the test if no line so far matches.
func (m *machine) hasSaid(want *regexp.Regexp) {
	m.t.Helper()
	if !slices.ContainsFunc(m.Lines(), func(l qemu.Line) bool { return want.MatchString(l.Text) }) {
		m.t.Errorf("no line of the console matches %q", want)
	}
}

// neverSaid fails the test if a line so far matches.
func (m *machine) neverSaid(unwanted *regexp.Regexp) {
	m.t.Helper()
	for _, l := range m.Lines() {
		if unwanted.MatchString(l.Text) {
			m.t.Errorf("the console says %q", l)
		}
	}
}

// fails waits for the stage to fail with the cause, both expressions, and for the offer of a shell. Between the two there
// must be a hint. It returns the sentence of the failure.
func (m *machine) fails(stage, cause string) (sentence string) {
	m.t.Helper()
	sentence = m.see(failed(stage, cause), handedOver(), anyFailure()).Line.Text
	if _, err := m.Expect(m.ctx, hint(), offer(), kernelPanic()); err != nil {
		m.t.Errorf("no hint behind %q: %v", sentence, err)
	}
	m.see(offer())
	return sentence
}

// facts waits for the report of the live system.
func (m *machine) facts() *livefacts.Facts {
	m.t.Helper()
	f, err := livefacts.Decode(m.see(livefacts.Line(), anyFailure()).Groups[1])
	if err != nil {
		m.t.Fatal(err)
	}
	return f
}

// exits waits for QEMU's exit with the reason.
func (m *machine) exits(reason string) qemu.Exit {
	m.t.Helper()
	e, err := m.Wait(m.ctx)
	if err != nil {
		m.t.Fatal(err)
	}
	if e.Reason != reason {
		m.t.Errorf("the machine ended with %q, want %q", e.Reason, reason)
	}
	return e
}

// enter types a line.
func (m *machine) enter(line string) {
	m.t.Helper()
	if err := m.Type(line + "\r"); err != nil {
		m.t.Fatal(err)
	}
}

// liveISO is the file of a small live ISO.
func liveISO(t testing.TB, c liveiso.Config) string {
	t.Helper()
	file, err := liveiso.Build(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// nginx serves a file with nginx and returns its URL.
func nginx(t testing.TB, file string, ca *webserver.CA) string {
	t.Helper()
	return webserver.Nginx(t, filepath.Dir(file), ca) + "/" + filepath.Base(file)
}

// trusted is the authority whose certificate is in the image.
func trusted(t testing.TB) *webserver.CA {
	t.Helper()
	ca, err := privateCA()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}
