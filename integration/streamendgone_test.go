package integration

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// The bounds of an end while the server is gone: how long nothing may come before reads fail, and how long systemd may take from there (see
// docs/streaming.md), with what a busy machine takes for the rest.
const (
	untilRefused = 30 * time.Second
	untilEnded   = 3 * time.Minute
	aroundThat   = 90 * time.Second
)

// A real system is shut down when the server of its image is gone for good, and what it needs for that has not come. It ends all the same, in bounded
// time, as it was told to; what it has written to a disk is there.
func TestStreamEndGone(t *testing.T) {
	full(t)
	for _, tt := range []struct {
		name, words, verb, ends string
		// prepare is entered while the server is there.
		prepare []string
		// says is what the process says while the end is under way.
		says  string
		bound time.Duration
	}{
		{"a service reads what never came", slowFill + persistent + "/dev/sda ", "poweroff", "guest-shutdown", []string{lateReader}, refused(), untilRefused + untilEnded},
		{"a service reads what never came, lazy", "rd.liveboot.stream=lazy ", "reboot", "guest-reset", append(noEnd(), lateReader), refused(), untilRefused + untilEnded},
		{"the last program never came", "rd.liveboot.stream=lazy ", "poweroff", "guest-shutdown", []string{noLastProgram}, endedBy("poweroff"), untilRefused},
		{"the last program never came, with a disk", slowFill + persistent + "/dev/sda ", "reboot", "guest-reset", []string{noLastProgram}, endedBy("reboot"), untilRefused},
		{"by force", "rd.liveboot.stream=lazy ", "poweroff --force", "guest-reset", []string{noLastProgram}, endedBy("reboot"), untilRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := newStreamEnd(t, tt.words, "login")
			e.provided()
			e.enter(tt.prepare...)
			e.m.enter("ls /run/liveboot/end | xargs; systemctl --failed --no-legend | wc -l")
			e.m.see(regexp.MustCompile(`^halt kexec poweroff reboot$`))
			e.m.see(regexp.MustCompile(`^0$`))
			e.site.stop()
			began := len(e.m.Lines())
			e.m.enter("systemctl " + tt.verb)
			e.m.see(regexp.MustCompile(tt.says))
			e.m.exits(tt.ends)
			lines := e.m.Lines()
			if took := lines[len(lines)-1].At - lines[began-1].At; took > tt.bound+aroundThat {
				t.Errorf("the end took %v, want %v at most", took, tt.bound+aroundThat)
			}
			if strings.Contains(tt.words, persistent) {
				e.checkDisk()
			}
		})
	}
}

const (
	// lateReader is a service that reads a file at the end of which some has not come, with a program that has.
	lateReader = "systemd-run --quiet --unit=late -p RemainAfterExit=yes -p Type=oneshot -p StandardOutput=null -p 'ExecStop=/bin/cat /opt/noise' /bin/cat /dev/null"
	// noLastProgram has systemd execute at its end what has not come, after what is needed was looked for.
	noLastProgram = "ln -sf /opt/unread /usr/lib/systemd/systemd-shutdown"
)

// noEnd is what systemd does without an end, and must not be taken for one.
func noEnd() []string {
	return []string{"systemctl daemon-reload", "systemctl daemon-reexec", "systemctl isolate multi-user.target"}
}

// refused is said when reads fail.
func refused() string {
	return `liveboot: stream: the machine is to end \(\w+\), and nothing has come for 30s`
}

// endedBy is said when the machine is ended so.
func endedBy(verb string) string {
	return `liveboot: stream: the machine is ended now \(` + verb + `\), .* systemd has stopped everything`
}

// enter types commands, and waits until each has succeeded.
func (e *streamEnd) enter(commands ...string) {
	e.t.Helper()
	for _, c := range commands {
		e.m.enter(c + " && echo do''ne")
		e.m.see(regexp.MustCompile(`^done$`))
	}
}
