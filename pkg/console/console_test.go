package console

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// clock is a time that a test sets.
type clock struct{ now time.Duration }

func (c *clock) read() time.Duration { return c.now }

type recorded struct {
	serial, screen, kmsg bytes.Buffer
	clock                clock
	*Console
}

func record() *recorded {
	r := &recorded{clock: clock{12340 * time.Millisecond}}
	r.Console = New([]Terminal{{Writer: &r.serial}, {Writer: &r.screen, InPlace: true}}, &r.kmsg, r.clock.read)
	return r
}

func TestLines(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(*Console)
		want string
		kmsg string
	}{
		{"stage", func(c *Console) { c.Stagef("network", "%s", "eth0 up") }, "[   12.34] liveboot: network: eth0 up\r\n", "<31>liveboot: network: eth0 up"},
		{"failure with a hint", func(c *Console) { c.Failf("fetch", errors.New("get x:\n404"), "look") }, "[   12.34] liveboot: fetch FAILED: get x:\r\n[   12.34] liveboot: 404\r\n[   12.34] liveboot: hint: look\r\n", "<31>liveboot: fetch FAILED: get x:<31>liveboot: 404<31>liveboot: hint: look"},
		{"failure without a hint", func(c *Console) { c.Failf("live", errors.New("x"), "") }, "[   12.34] liveboot: live FAILED: x\r\n", "<31>liveboot: live FAILED: x"},
		{"warning", func(c *Console) { c.Warnf("odd") }, "[   12.34] liveboot: warning: odd\r\n", "<31>liveboot: warning: odd"},
		{"remark", func(c *Console) { c.Remarkf("x") }, "[   12.34] liveboot: x\r\n", "<31>liveboot: x"},
		{"remark when quiet", func(c *Console) { c.SetVerbosity(Quiet); c.Remarkf("x") }, "", "<31>liveboot: x"},
		{"stage when quiet", func(c *Console) { c.SetVerbosity(Quiet); c.Stagef("a", "b") }, "[   12.34] liveboot: a: b\r\n", "<31>liveboot: a: b"},
		{"step", func(c *Console) { c.Debugf("x") }, "", ""},
		{"step when debugging", func(c *Console) { c.SetVerbosity(Debug); c.Debugf("x") }, "[   12.34] liveboot: debug: x\r\n", ""},
		{"what a server sent does not steer the terminal", func(c *Console) { c.Stagef("fetch", "404 \x1b[2J\u009b\x7f gone") }, "[   12.34] liveboot: fetch: 404 ?[2J?? gone\r\n", "<31>liveboot: fetch: 404 ?[2J?? gone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := record()
			tt.do(r.Console)
			if r.serial.String() != tt.want || r.screen.String() != tt.want {
				t.Errorf("serial %q, screen %q, want %q", r.serial.String(), r.screen.String(), tt.want)
			}
			if r.kmsg.String() != tt.kmsg {
				t.Errorf("kmsg %q, want %q", r.kmsg.String(), tt.kmsg)
			}
		})
	}
}

// TestProgress: a transfer of 100 MiB in 20 s, told every 50 ms.
func TestProgress(t *testing.T) {
	r := record()
	const size = 100 << 20
	for i := range 401 {
		r.Progress("fetch", int64(i)*size/400, size)
		r.clock.now += 50 * time.Millisecond
	}
	r.Warnf("odd")
	r.ProgressDone()
	r.Stagef("fetch", "done")

	lines := strings.Split(strings.TrimSuffix(r.serial.String(), "\r\n"), "\r\n")
	if len(lines) != 6 {
		t.Errorf("on the serial line are %d lines, want one in 5 s and two more:\n%s", len(lines), r.serial.String())
	}
	if want := "[   22.34] liveboot: fetch:  50 % (50.0 of 100.0 MiB), 5.0 MiB/s, 10s left"; lines[1] != want {
		t.Errorf("after 10 s the serial line shows %q, want %q", lines[1], want)
	}
	screen := r.screen.String()
	if n := strings.Count(screen, "\r["); n < 90 || n > 110 {
		t.Errorf("the screen's line was rewritten %d times in 20 s, want about 100", n)
	}
	if !strings.Contains(screen, "\r\x1b[K[   32.39] liveboot: warning: odd\r\n") || !strings.HasSuffix(screen, "\n[   32.39] liveboot: fetch: done\r\n") {
		t.Errorf("the screen's line is not cleared for others: %q", screen[len(screen)-200:])
	}
}

// TestProgressAnew: a transfer that begins anew after 10 s is as fast as before, and never goes backwards.
func TestProgressAnew(t *testing.T) {
	r := record()
	const size = 100 << 20
	for i := range 401 {
		r.Progress("fetch", int64(i%200)*size/400, size)
		r.clock.now += 50 * time.Millisecond
	}
	if screen := r.screen.String(); strings.Contains(screen, ", -") || !strings.Contains(screen, "[   22.39] liveboot: fetch:   0 % (0.2 of 100.0 MiB), 0.0 MiB/s, stalled") {
		t.Errorf("the screen goes backwards, or has no new beginning:\n%s", strings.ReplaceAll(screen, "\r", "\n"))
	}
	lines := strings.Split(r.serial.String(), "\r\n")
	if want := "[   27.34] liveboot: fetch:  25 % (25.0 of 100.0 MiB), 5.0 MiB/s, 15s left"; lines[2] != want {
		t.Errorf("5 s after the new beginning the serial line shows %q, want %q", lines[2], want)
	}
}

func TestProgressText(t *testing.T) {
	for _, tt := range []struct {
		name string
		rate float64
		done int64
		size int64
		want string
	}{
		{"unknown size", 1 << 20, 5 << 20, -1, "5.0 MiB, 1.0 MiB/s, size unknown, 7s so far"},
		{"stalled", 0, 1 << 20, 4 << 20, " 25 % (1.0 of 4.0 MiB), 0.0 MiB/s, stalled"},
		{"silent for a while", 1000, 1 << 20, 4 << 20, " 25 % (1.0 of 4.0 MiB), 0.0 MiB/s, stalled"},
		{"complete", 1 << 20, 4 << 20, 4 << 20, "100 % (4.0 of 4.0 MiB), 1.0 MiB/s, 0s left"},
	} {
		p := progress{rate: tt.rate, began: time.Second}
		if got := p.text(8*time.Second, tt.done, tt.size); got != tt.want {
			t.Errorf("text(%s) = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestScreen(t *testing.T) {
	for path, want := range map[string]bool{"/dev/tty0": true, "/dev/tty12": true, "/dev/ttyS0": false, "/dev/ttyAMA0": false, "/dev/hvc0": false, "/dev/tty": false} {
		if got := (TTY{Path: path}).screen(); got != want {
			t.Errorf("TTY{%s}.screen() = %v, want %v", path, got, want)
		}
	}
}

// terminal returns the two ends of a pseudo terminal: the far end, and the TTY that a boot would have.
func terminal(t *testing.T) (far *os.File, tty TTY) {
	t.Helper()
	far, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("open a pseudo terminal: %v", err)
	}
	t.Cleanup(func() { far.Close() })
	if err := unix.IoctlSetPointerInt(int(far.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(far.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	name := "pts/" + strconv.Itoa(number)
	if err := errors.Join(
		os.MkdirAll(filepath.Join(root, "sys/class/tty/console"), 0o755),
		os.WriteFile(filepath.Join(root, "sys/class/tty/console/active"), []byte("nothing "+name+"\n"), 0o644),
		os.Symlink("/dev", filepath.Join(root, "dev")),
	); err != nil {
		t.Fatal(err)
	}
	ttys := TTYs(root)
	if len(ttys) != 1 {
		t.Fatalf("TTYs = %v, want the one that opens", ttys)
	}
	return far, ttys[0]
}

// TestOpen: a console whose driver comes later is written to from then on.
func TestOpen(t *testing.T) {
	far, tty := terminal(t)
	root := strings.TrimSuffix(tty.Path, "/dev/pts/"+filepath.Base(tty.Path))
	list := filepath.Join(root, "sys/class/tty/console/active")
	names, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(list, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c := Open(root)
	c.kmsg = nil
	c.Remarkf("early")
	if err := os.WriteFile(list, names, 0o644); err != nil {
		t.Fatal(err)
	}
	c.Remarkf("late")
	c.Remarkf("later")
	var shown []byte
	for buffer := make([]byte, 1000); !bytes.Contains(shown, []byte("later")); {
		n, err := far.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, buffer[:n]...)
	}
	if bytes.Contains(shown, []byte("early")) || bytes.Count(shown, []byte("late\r")) != 1 {
		t.Errorf("the terminal shows %q, want what was written since it is there, once", shown)
	}
}

func TestWaitForEnter(t *testing.T) {
	far, tty := terminal(t)
	pressed, stop := WaitForEnter([]TTY{tty})
	if _, err := far.WriteString("some words\x04\x04"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-pressed:
		t.Fatal("taken for Enter: letters")
	default:
	}
	if _, err := far.WriteString("\r"); err != nil {
		t.Fatal(err)
	}
	if got := <-pressed; got.Path != tty.Path {
		t.Errorf("pressed on %v, want %v", got, tty)
	}
	stop()
}

// TestWaitForEnterStops: a wait that is given up reads no more, so that a shell gets what is typed later; and it can be begun again.
func TestWaitForEnterStops(t *testing.T) {
	far, tty := terminal(t)
	for range 2 {
		pressed, stop := WaitForEnter([]TTY{tty})
		stop()
		select {
		case <-pressed:
			t.Fatal("pressed without a key")
		default:
		}
	}
	pressed, stop := WaitForEnter([]TTY{tty})
	defer stop()
	if _, err := far.WriteString("\r"); err != nil {
		t.Fatal(err)
	}
	<-pressed
}

// TestStoppedTerminal: a terminal that takes nothing costs two seconds once, not one for every line.
func TestStoppedTerminal(t *testing.T) {
	_, tty := terminal(t)
	c := New([]Terminal{tty.Terminal()}, nil, func() time.Duration { return 0 })
	start := time.Now()
	for range 100 {
		c.Remarkf("%s", strings.Repeat("x", 1000)) // far more than the terminal's buffer
	}
	if took := time.Since(start); took > 20*firstPatience { // of the 100 that each would cost
		t.Errorf("100 lines to a stopped terminal took %v, want little more than %v", took, firstPatience)
	}
}
