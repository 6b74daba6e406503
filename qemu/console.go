package qemu

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

// shownLines is how much of the console is shown when a wait fails.
const shownLines = 40

// Line is a line of the console.
type Line struct {
	// At is when its first byte came, as time since power-on.
	At time.Duration
	// Text is without its end and without the escape sequences of terminals (ECMA-48).
	Text string
}

// String is the line as it is shown and kept: seconds since power-on, then the text.
func (l Line) String() string { return fmt.Sprintf("[%8.3f] %s", l.At.Seconds(), l.Text) }

// console collects what the guest writes. A carriage return ends a line as a line feed does, so that each state of a line
// that is rewritten in place is a line; empty lines are dropped.
type console struct {
	start time.Time
	// emit is called for every complete line, one at a time and in order.
	emit func(Line)

	mu      sync.Mutex
	lines   []Line
	partial []byte // the last line, as long as it has no end
	since   time.Duration
	raw     []byte        // the beginning of an escape sequence that is not complete yet
	changed chan struct{} // closed and made anew when something was added
	closed  bool

	// next and offset are where the next wait begins: behind the end of the last match.
	next, offset int
}

func newConsole(emit func(Line)) *console {
	return &console{start: time.Now(), emit: emit, changed: make(chan struct{})}
}

var _ io.WriteCloser = (*console)(nil)

// escape returns the length of the escape sequence at the start of b, or 0 if it is not complete. It knows control
// sequences (ESC [ … final byte), strings (ESC ] … BEL), and two- and three-byte escapes.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '[':
		for i := 2; i < len(b); i++ {
			if b[i] >= 0x40 && b[i] <= 0x7e {
				return i + 1
			}
		}
		return 0
	case ']':
		if i := bytes.IndexByte(b, '\a'); i >= 0 {
			return i + 1
		}
		return 0
	case '(', ')', '#', '%':
		if len(b) < 3 {
			return 0
		}
		return 3
	}
	return 2
}

// maxEscape bounds an escape sequence, in bytes: a longer one is text.
const maxEscape = 256

// Write takes what the serial line sent.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := append(c.raw, p...)
	c.raw = nil
	for len(in) > 0 {
		switch b := in[0]; {
		case b == 0x1b:
			n := escape(in)
			if n == 0 && len(in) < maxEscape {
				c.raw = bytes.Clone(in)
				in = nil
				continue
			}
			if n == 2 && in[1] == 'c' {
				c.endLine() // the BIOS clears the screen (RIS) instead of ending its last line
			}
			in = in[max(n, 1):]
			continue
		case b == '\n' || b == '\r':
			c.endLine()
		case b >= ' ' && b != 0x7f || b == '\t':
			if len(c.partial) == 0 {
				c.since = time.Since(c.start)
			}
			c.partial = append(c.partial, b)
		}
		in = in[1:]
	}
	c.wake()
	return len(p), nil
}

// Close ends the last line and every wait.
func (c *console) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.endLine()
	c.closed = true
	c.wake()
	return nil
}

func (c *console) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *console) endLine() {
	if len(c.partial) == 0 {
		return
	}
	l := Line{At: c.since, Text: strings.ToValidUTF8(string(c.partial), "?")}
	c.lines = append(c.lines, l)
	c.partial = c.partial[:0]
	c.emit(l)
}

// all is every line so far, the unfinished one included.
func (c *console) all() []Line {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := append([]Line(nil), c.lines...)
	if len(c.partial) > 0 {
		lines = append(lines, Line{At: c.since, Text: string(c.partial)})
	}
	return lines
}

// tail is the last lines, for an error message.
func (c *console) tail() string {
	lines := c.all()
	var b strings.Builder
	fmt.Fprintf(&b, "last lines of the console:\n")
	for _, l := range lines[max(0, len(lines)-shownLines):] {
		fmt.Fprintf(&b, "\t%s\n", l)
	}
	return b.String()
}

// Match is what a wait found.
type Match struct {
	// Line is the line that matched, as far as it had come.
	Line Line
	// Groups are the match and its submatches, as from [regexp.Regexp.FindStringSubmatch].
	Groups []string
}

// expect waits for a line, complete or not, that matches want, behind the last match.
func (c *console) expect(ctx context.Context, want *regexp.Regexp, unless []*regexp.Regexp) (Match, error) {
	for {
		c.mu.Lock()
		m, found, err := c.scan(want, unless)
		changed, closed := c.changed, c.closed
		c.mu.Unlock()
		switch {
		case err != nil:
			return Match{}, fmt.Errorf("wait for %q: %w; %s", want, err, c.tail())
		case found:
			return m, nil
		case closed:
			return Match{}, fmt.Errorf("wait for %q: QEMU has exited; %s", want, c.tail())
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Match{}, fmt.Errorf("wait for %q: %w after %.0f s since power-on; %s", want, context.Cause(ctx), time.Since(c.start).Seconds(), c.tail())
		}
	}
}

// scan looks at each line from the last match on, and moves on behind those that are complete and did not match.
func (c *console) scan(want *regexp.Regexp, unless []*regexp.Regexp) (Match, bool, error) {
	for {
		l := Line{At: c.since, Text: string(c.partial)}
		complete := c.next < len(c.lines)
		if complete {
			l = c.lines[c.next]
		}
		text := l.Text[min(c.offset, len(l.Text)):]
		if loc := want.FindStringIndex(text); loc != nil && text != "" {
			groups := want.FindStringSubmatch(text)
			c.offset += loc[1]
			return Match{Line: l, Groups: groups}, true, nil
		}
		if !complete {
			return Match{}, false, nil
		}
		for _, re := range unless {
			if re.MatchString(text) {
				return Match{}, false, fmt.Errorf("the console says %q", l.Text)
			}
		}
		c.next++
		c.offset = 0
	}
}
