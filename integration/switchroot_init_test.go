package integration

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/integration/initiso"
	"github.com/liveboot/liveboot/qemu"
)

// initTime is how long a system with another init may take to its login, and from there to its end: a minute under TCG, on a busy machine more.
const initTime = 10 * time.Minute

// Systems without systemd boot to their login, and end when a person who has logged in says so.
func TestOtherInits(t *testing.T) {
	full(t)
	for _, tt := range []struct {
		name  string
		image initiso.Init
		words string
		// process is the name of process 1, started what its last start scripts say, ended what the last of its end does.
		process, started, ended string
	}{
		{"sysvinit", initiso.SysV, "", "init", `INIT: Entering runlevel: 2`, `Will now halt`},
		{"OpenRC below sysvinit", initiso.OpenRC, "", "init", `OpenRC .* is starting up Linux`, `Will now halt`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			iso, err := initiso.ISO(context.WithoutCancel(t.Context()), tt.image, t.Output())
			if err != nil {
				t.Fatal(err)
			}
			m := bootWithin(t, initTime, "ip=dhcp "+tt.words+" root=live:"+nginx(t, iso, nil))
			m.see(said(handoff, ""), anyFailure())
			m.see(regexp.MustCompile("^"+initiso.End), anyFailure())
			checkInit(t, reported(m.Lines(), initiso.Line), tt.process)
			m.see(regexp.MustCompile(`login: $`))
			m.hasSaid(regexp.MustCompile(tt.started))
			m.enter("root")
			m.see(regexp.MustCompile(`# $`))
			up := len(m.Lines())
			m.enter("poweroff")
			m.exits("guest-shutdown")
			checkEnd(t, m.Lines()[up:], tt.ended)
		})
	}
}

// checkInit compares the report of a live system with what a system on a disk would say.
func checkInit(t *testing.T, report map[string]string, process string) {
	t.Helper()
	for _, want := range []struct{ name, re string }{
		{"init", "^" + process + `\n$`},
		{"mounts", `(?m)^LiveOS_rootfs / overlay rw,`},
		{"mounts", `(?m)^/dev/ram0 /run/overlay/live iso9660 ro,`},
		{"memory", `MemAvailable: +\d+ kB`},
	} {
		if got := report[want.name]; !regexp.MustCompile(want.re).MatchString(got) {
			t.Errorf("the live system says of %s\n%swant a match of %s", want.name, got, want.re)
		}
	}
	if failed := report["failed"]; failed != "" {
		t.Errorf("services that did not start:\n%s", failed)
	}
	if ours := regexp.MustCompile(`(?m)^.*(?:liveboot|bbin|/init -).*$`).FindString(report["processes"]); ours != "" {
		t.Errorf("one of our processes is left: %s", ours)
	}
	t.Logf("memory: %sprocesses:\n%sdescriptors of process 1:\n%s", report["memory"], report["processes"], report["fds"])
}

// checkEnd reads what a system said while it ended.
func checkEnd(t *testing.T, said []qemu.Line, last string) {
	t.Helper()
	var b strings.Builder
	for _, l := range said {
		b.WriteString(l.Text + "\n")
	}
	if text := b.String(); !strings.Contains(text, last) || regexp.MustCompile(`(?i)fail|error|busy|cannot|I/O`).MatchString(text) {
		t.Errorf("want %q and no complaint at the end of the live system, which said:\n%s", last, text)
	}
}
