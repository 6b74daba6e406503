package qemu

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func texts(lines []Line) []string {
	var s []string
	for _, l := range lines {
		s = append(s, l.Text)
	}
	return s
}

func TestConsoleLines(t *testing.T) {
	tests := []struct {
		name string
		in   []string // as the serial line delivers it
		want []string
	}{
		{"lines", []string{"one\r\ntwo\n"}, []string{"one", "two"}},
		{"empty lines are dropped", []string{"\n\r\n\r\r\none\n\n"}, []string{"one"}},
		{"a line in pieces", []string{"o", "ne", "\r", "\ntw"}, []string{"one", "tw"}},
		{"rewritten in place", []string{"10 %\r20 %\r30 %\n"}, []string{"10 %", "20 %", "30 %"}},
		{"colours", []string{"\x1b[1;31mred\x1b[0m\n"}, []string{"red"}},
		{"an escape sequence in pieces", []string{"a\x1b", "[1", ";31", "mb\n"}, []string{"ab"}},
		{"title of a window", []string{"\x1b]0;title\aok\n"}, []string{"ok"}},
		{"the BIOS clears the screen", []string{"Booting from ROM..\x1bc\x1b[?7l\x1b[2Jkernel\n"}, []string{"Booting from ROM..", "kernel"}},
		{"an escape that never ends is text", []string{"\x1b[" + strings.Repeat("1", maxEscape) + "\n"}, []string{"[" + strings.Repeat("1", maxEscape)}},
		{"not UTF-8", []string{"a\xffb\n"}, []string{"a?b"}},
		{"control characters", []string{"a\x00\x07\tb\n"}, []string{"a\tb"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var emitted []Line
			c := newConsole(func(l Line) { emitted = append(emitted, l) })
			for _, s := range tt.in {
				if n, err := c.Write([]byte(s)); n != len(s) || err != nil {
					t.Fatalf("Write(%q) = %d, %v, want %d", s, n, err, len(s))
				}
			}
			if diff := cmp.Diff(tt.want, texts(c.all())); diff != "" {
				t.Errorf("lines of %q (-want +got):\n%s", tt.in, diff)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, texts(emitted)); diff != "" {
				t.Errorf("emitted for %q (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

// However the bytes are cut into writes, the lines are the same.
func FuzzConsole(f *testing.F) {
	f.Add([]byte("\x1b[1;31mred\x1b[0m\r\n\x1b]0;t\a10 %\r20 %"), 3)
	f.Fuzz(func(t *testing.T, in []byte, at int) {
		whole, pieces := newConsole(func(Line) {}), newConsole(func(Line) {})
		at = min(max(at, 0), len(in))
		for _, w := range []struct {
			c *console
			p []byte
		}{{whole, in}, {pieces, in[:at]}, {pieces, in[at:]}} {
			if _, err := w.c.Write(w.p); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(texts(whole.all()), texts(pieces.all())); diff != "" {
			t.Errorf("lines of %q cut at %d (-whole +pieces):\n%s", in, at, diff)
		}
	})
}

func TestExpect(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string // expressions that match one behind the other
		unless   string
		err      string // empty: the last one matches as well
	}{
		{"in order", "one\ntwo\nthree\n", []string{"one", "three"}, "never", ""},
		{"twice on one line", "a=1 b=2\n", []string{`\w=(\d)`, `\w=(\d)`}, "never", ""},
		{"not again", "one\n", []string{"one", "one"}, "never", "QEMU has exited"},
		{"an incomplete line", "login: ", []string{"login: $"}, "never", ""},
		{"something else came", "FAILED: x\nok\n", []string{"ok"}, "FAILED", `the console says "FAILED: x"`},
		{"the wanted comes first", "ok\nFAILED\n", []string{"ok"}, "FAILED", ""},
		{"wanted and unwanted on one line", "FAILED: 404\n", []string{"FAILED: 404"}, "FAILED", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newConsole(func(Line) {})
			if _, err := c.Write([]byte(tt.in)); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			var err error
			for i, re := range tt.want {
				if _, err = c.expect(t.Context(), regexp.MustCompile(re), []*regexp.Regexp{regexp.MustCompile(tt.unless)}); err != nil && i < len(tt.want)-1 {
					t.Fatal(err)
				}
			}
			if got := ""; tt.err != "" {
				if err != nil {
					got = err.Error()
				}
				if !strings.Contains(got, tt.err) {
					t.Errorf("expect(%q) in %q = %q, want %q", tt.want, tt.in, got, tt.err)
				}
			} else if err != nil {
				t.Errorf("expect(%q) in %q = %v", tt.want, tt.in, err)
			}
		})
	}
}

// An incomplete line that is not yet what is waited for, but may become it, is no reason to give up.
func TestExpectGrowingLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsole(func(Line) {})
		go func() {
			for _, s := range []string{"FAILED: ", "40", "4 not ", "found\n"} {
				if _, err := c.Write([]byte(s)); err != nil {
					t.Error(err)
				}
				synctest.Wait()
			}
		}()
		m, err := c.expect(t.Context(), regexp.MustCompile("FAILED: (404 not found)$"), []*regexp.Regexp{regexp.MustCompile("FAILED")})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"FAILED: 404 not found", "404 not found"}, m.Groups); diff != "" {
			t.Errorf("expect (-want +got):\n%s", diff)
		}
	})
}

// The error of a wait names what was waited for and shows the last lines, with their times.
func TestExpectTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsole(func(Line) {})
		time.AfterFunc(1500*time.Millisecond, func() {
			for range shownLines + 1 {
				if _, err := c.Write([]byte("tick\n")); err != nil {
					t.Error(err)
				}
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := c.expect(ctx, regexp.MustCompile("tock"), nil)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("expect = %v, want that the time is over", err)
		}
		if s := err.Error(); !strings.Contains(s, `wait for "tock"`) || strings.Count(s, "[   1.500] tick") != shownLines {
			t.Errorf("expect = %s\nwant the expression and the last %d lines", s, shownLines)
		}
	})
}
