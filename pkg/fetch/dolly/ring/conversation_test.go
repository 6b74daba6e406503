package ring

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestIntroduce lets a parent introduce itself to a child, in pieces of all sizes and at once.
func TestIntroduce(t *testing.T) {
	for _, tt := range []struct {
		name              string
		dialect           Dialect
		parent, child     string // passwords
		hosts             []string
		parentErr, child2 string
	}{
		{name: "0.7x", dialect: Dialect07},
		{name: "0.6x", dialect: Dialect06},
		{name: "password", dialect: Dialect07, parent: "hush", child: "hush"},
		{name: "wrong password", dialect: Dialect07, parent: "hush", child: "hash", parentErr: "another one", child2: "another one"},
		{name: "child without password", dialect: Dialect07, parent: "hush", parentErr: "may have none", child2: "give it with -P"},
		{name: "of the length that needs padding", dialect: Dialect07, hosts: append(strings.Split(strings.Repeat(strings.Repeat("x", 99)+" ", 14)[:14*100-1], " "), strings.Repeat("x", 19))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hosts := tt.hosts
			if hosts == nil {
				hosts = []string{"192.0.2.1", "192.0.2.2"}
			}
			in := Introduction{Config: Config{Dialect: tt.dialect, Infile: "a", Outfile: "b", Server: "s", Hosts: hosts, Fanout: 1}}
			if tt.dialect == Dialect07 {
				in.Server = ""
			}
			var err error
			if in.Text, err = in.Config.Text(); err != nil {
				t.Fatal(err)
			}
			ours, theirs := net.Pipe()
			defer ours.Close()
			defer theirs.Close()
			c := &Child{Host: hosts[0], Control: ours}
			told := make(chan error, 1)
			go func() {
				err := c.Introduce(t.Context(), in, tt.parent)
				if err == nil {
					err = c.PutTotal(0x20) // its first byte looks like padding
				}
				told <- err
			}()
			got, err := Receive(theirs, tt.child)
			check(t, "Receive", err, tt.child2)
			if err != nil {
				theirs.Close()
			} else if total, err := Total(theirs); err != nil || total != 0x20 {
				t.Errorf("Total = %d, %v, want 32", total, err)
			}
			check(t, "Introduce", <-told, tt.parentErr)
			if diff := cmp.Diff(in, got); err == nil && diff != "" {
				t.Error(diff)
			}
		})
	}
}

func check(t *testing.T, what string, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%s = %v, want %q", what, err, want)
	}
}

// TestReceiveText reads configurations whose end is not the usual one.
func TestReceiveText(t *testing.T) {
	const config = "infile a\noutfile b\nn1\nendconfig"
	for _, tt := range []struct{ name, in, want string }{
		{"no line feed at the end", config, config},
		{"a host of that name with more behind it", "infile a\noutfile b\nendconfig-1\nendconfig\n", "infile a\noutfile b\nendconfig-1\nendconfig\n"},
		{"remarks behind the end", config + "\n# by me\n", config + "\n# by me\n"},
	} {
		ours, theirs := net.Pipe()
		go func() { io.WriteString(ours, "\x00\x00\x00\x00\x00"+tt.in) }()
		got, err := Receive(theirs, "")
		if err != nil || string(got.Text) != tt.want {
			t.Errorf("%s: Receive = %q, %v, want %q", tt.name, got.Text, err, tt.want)
		}
		ours.Close()
		theirs.Close()
	}
}

// stream is a connection whose other side has said all that it will say.
type stream struct {
	net.Conn
	io.Reader
}

func (s stream) Read(p []byte) (int, error)     { return s.Reader.Read(p) }
func (stream) Write(p []byte) (int, error)      { return len(p), nil }
func (stream) SetDeadline(time.Time) error      { return nil }
func (stream) SetReadDeadline(time.Time) error  { return nil }
func (stream) SetWriteDeadline(time.Time) error { return nil }

// FuzzReceive: whatever a parent says, in pieces of any size, is read the same way, and never more than it may be.
func FuzzReceive(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x00infile a\noutfile b\nn1\nendconfig\n"), "")
	f.Add([]byte("\x01"+strings.Repeat("n", 32)+"OK\x00\x00\x00\x00\x00infile a\noutfile b\nn1\nendconfig\n"), "hush")
	f.Add([]byte("infile a\noutfile b\nserver s\nfirstclient n1\nlastclient n1\nclients 1\nn1\nendconfig\n"), "")
	f.Fuzz(func(t *testing.T, said []byte, password string) {
		whole, err := Receive(stream{Reader: bytes.NewReader(said)}, password)
		if err != nil {
			return
		}
		if len(whole.Hosts) == 0 || len(whole.Text) >= MaxConfig {
			t.Fatalf("Receive(%q) = %+v", said, whole)
		}
	})
}

// TestNext tells lines from sizes.
func TestNext(t *testing.T) {
	const size = 0x43 // its first byte is that of "Client"
	for _, tt := range []struct {
		name, in string
		total    int64 // -1: not said yet
		want     []Message
		err      string
	}{
		{"lines", "Client a ready.\nHost lost 'b'.\n", -1, []Message{{Line: "Client a ready.\n"}, {Line: "Host lost 'b'.\n"}}, "EOF"},
		{"size", "C\x00\x00\x00\x00\x00\x00\x00", size, []Message{{Total: size}}, ""},
		{"line before the size", "Client a lost.\nC\x00\x00\x00\x00\x00\x00\x00", size, []Message{{Line: "Client a lost.\n"}, {Total: size}}, ""},
		{"another size", "\x07\x00\x00\x00\x00\x00\x00\x00", size, []Message{{Total: 7}}, ""},
		{"no size", "\xff\xff\xff\xff\xff\xff\xff\xff", size, []Message{{Total: MaxTotal}}, ""},
		{"cut", "C\x00", size, nil, "unexpected EOF"},
		{"endless line", strings.Repeat("x", 2000), -1, nil, "more than 1024"},
		{"line without an end", "Client", -1, nil, "unexpected EOF"},
	} {
		c := newChild("a", stream{Reader: strings.NewReader(tt.in)})
		c.total.Store(tt.total)
		var got []Message
		var err error
		for err == nil && (len(got) == 0 || got[len(got)-1].Line != "") {
			var m Message
			if m, err = c.Next(); err == nil {
				got = append(got, m)
			}
		}
		check(t, tt.name+": Next", err, tt.err)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: Next: %s", tt.name, diff)
		}
	}
}

func TestUnderstand(t *testing.T) {
	for _, tt := range []struct {
		in   string
		kind Kind
		host string
	}{
		{Dialect06.Configured("n1"), IsConfigured, "n1"},
		{Dialect07.Configured("n1"), IsConfigured, "n1"},
		{Dialect06.Ready("n1"), IsReady, "n1"},
		{Dialect07.Ready("already"), IsReady, "already"},
		{Dialect06.Skipped("n1"), IsSkipped, "n1"},
		{Dialect07.Skipped("n1"), IsSkipped, "n1"},
		{Dialect06.Lost("n1"), IsLost, "n1"},
		{Dialect07.Lost("n1"), IsLost, "n1"},
		{"Client a b ready.\n", Other, ""},
		{"", Other, ""},
	} {
		if kind, host := Understand(tt.in); kind != tt.kind || host != tt.host {
			t.Errorf("Understand(%q) = %v, %q, want %v, %q", tt.in, kind, host, tt.kind, tt.host)
		}
	}
}

// TestConnect tries until it is told to stop, or a number of times.
func TestConnect(t *testing.T) {
	refused := errors.New("refused")
	dial := func(context.Context, string, string) (net.Conn, error) { return nil, refused }
	if _, err := Connect(t.Context(), dial, "a", 1, nil); !errors.Is(err, refused) {
		t.Errorf("Connect = %v, want %v", err, refused)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	if _, err := Connect(ctx, dial, "a", 0, func(error) { cancel(enough) }); !errors.Is(err, enough) || !errors.Is(err, refused) {
		t.Errorf("Connect = %v, want %v and %v", err, enough, refused)
	}
}
