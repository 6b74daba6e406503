package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/integration/kiwi"
	"github.com/liveboot/liveboot/qemu"
)

// kiwiTime is how long the real live system may take until it is up: one to three minutes under TCG, on a busy machine
// more.
const kiwiTime = 12 * time.Minute

// A real live ISO, Debian with systemd built by KIWI NG, is booted from nginx until everything is up that belongs to it.
func TestKIWI(t *testing.T) {
	t.Parallel()
	iso, err := kiwi.ISO(context.WithoutCancel(t.Context()), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	m := bootWithin(t, kiwiTime, "ip=dhcp livetest.poweroff root=live:"+nginx(t, iso, nil), func(c *qemu.Config) { c.MemoryMiB = 2048 })
	m.see(said(handoff, ""), anyFailure())
	m.see(regexp.MustCompile(regexp.QuoteMeta(kiwi.End)))
	report := kiwiReport(m.Lines())
	checkKIWI(t, report)
	milestones(m)
	e := m.exits("guest-shutdown")
	t.Logf("memory available in the live system: %s; most memory in use by QEMU: %d MB", report["MemAvailable"], e.PeakRSS/1e6)
}

// kiwiReport is what the live system reported, by the name of the report.
func kiwiReport(lines []qemu.Line) map[string]string {
	report := map[string]string{}
	for _, l := range lines {
		// The prompt of the shell on the same console may stand before it.
		if _, rest, ok := strings.Cut(l.Text, kiwi.Report); ok {
			name, value, _ := strings.Cut(rest, ": ")
			report[name] += value + "\n"
		}
	}
	return report
}

// checkKIWI compares the report with what a live system that was booted by the reference says.
func checkKIWI(t *testing.T, report map[string]string) {
	t.Helper()
	for _, want := range []struct{ name, re string }{
		{"systemctl", `^running\n$`},
		{"findmnt", `^LiveOS_rootfs +overlay +rw,.*lowerdir=/run/overlay/rootfsbase,upperdir=/run/overlay/overlayfs/rw,workdir=/run/overlay/overlayfs/work`},
		{"init", `^systemd\n$`},
		{"leftovers", `^none\n$`},
		{"ip", `(?m)^e\S+ +UP .*10\.0\.2\.15/24`},
		{"resolver", `(?m)^nameserver \S`},
		{"overlay", `isodev -> /dev/ram0`},
		{"grep", `(?m)^/dev/ram0 /run/overlay/live iso9660 ro,`},
		{"grep", `(?m)^\S+ /run/overlay/squashfs_container squashfs ro,`},
		{"grep", `(?m)^\S+ /run/overlay/rootfsbase ext4 ro,`},
	} {
		if got := report[want.name]; !regexp.MustCompile(want.re).MatchString(got) {
			t.Errorf("the live system says of %s\n%swant a match of %s", want.name, got, want.re)
		}
	}
	if r := report["report.json"]; !json.Valid([]byte(r)) {
		t.Errorf("liveboot's report is no JSON:\n%s", r)
	}
}

// milestones logs when the boot came how far.
func milestones(m *machine) {
	m.t.Helper()
	var b strings.Builder
	for _, s := range []struct {
		name string
		re   *regexp.Regexp
	}{
		{"kernel's first line", regexp.MustCompile(`Linux version`)},
		{"process 1", regexp.MustCompile(`Run /init as init process`)},
		{"lease", said(network, "")},
		{"first byte", said(target, "")},
		{"last byte", said(fetching, `MiB in .*MiB/s`)},
		{"root mounted", said(overlay, "")},
		{"live init", said(handoff, "")},
		{"live system up", regexp.MustCompile(kiwi.Up)},
	} {
		at := "–"
		for _, l := range m.Lines() {
			if s.re.MatchString(l.Text) {
				at = fmt.Sprintf("%.1f", l.At.Seconds())
				break
			}
		}
		fmt.Fprintf(&b, "\n%-20s %6s", s.name, at)
	}
	m.t.Logf("seconds since power-on:%s", b.String())
}
