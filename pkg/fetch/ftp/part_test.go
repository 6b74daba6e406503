package ftp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// A lasting server has a file, and records what it is told by each of its clients.
type lasting struct {
	file     []byte
	modified string
	rest     string // the answer to REST, if not the right one
	ended    string // what is said of a transfer that nobody read on; empty: nothing, and the connection ends
	idle     int    // after so many transfers the server ends a connection; 0: never

	mutex   sync.Mutex
	clients []string // their commands
}

func (s *lasting) start(t *testing.T) wire.Session {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mutex.Lock()
			s.clients = append(s.clients, "")
			n := len(s.clients) - 1
			s.mutex.Unlock()
			group.Go(func() {
				defer conn.Close()
				s.serve(conn, n)
			})
		}
	})
	t.Cleanup(func() { listener.Close(); group.Wait() })
	u, err := url.Parse("ftp://" + listener.Addr().String() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(u, Options{Dial: wire.Dialer{}.DialContext, TLS: &tls.Config{}})
	if err != nil {
		t.Fatal(err)
	}
	session := f.Session()
	t.Cleanup(func() { session.Close() })
	return session
}

func (s *lasting) serve(conn net.Conn, client int) {
	say := func(format string, args ...any) { fmt.Fprintf(conn, format+"\r\n", args...) }
	say("220 there")
	var passive net.Listener
	offset, transfers := 0, 0
	commands := make([]byte, 0, 1000)
	for {
		line, err := readLine(conn, commands)
		if err != nil {
			return
		}
		name, argument, _ := strings.Cut(line, " ")
		s.mutex.Lock()
		s.clients[client] += name + " "
		s.mutex.Unlock()
		switch name {
		case "USER":
			say("230 in")
		case "SIZE":
			say("213 %d", len(s.file))
		case "MDTM":
			say("213 %s", s.modified)
		case "EPSV":
			if passive, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
				return
			}
			say("229 Entering (|||%d|)", passive.Addr().(*net.TCPAddr).Port)
		case "REST":
			fmt.Sscan(argument, &offset)
			if s.rest != "" {
				offset = 0
				say("%s", s.rest)
			} else {
				say("350 go on")
			}
		case "RETR":
			say("150 here")
			data, err := passive.Accept()
			passive.Close()
			if err != nil {
				return
			}
			_, err = data.Write(s.file[offset:])
			data.Close()
			transfers++
			switch {
			case err == nil:
				say("226 done")
			case s.ended == "":
				return
			default:
				say("%s", s.ended)
			}
			if transfers == s.idle {
				return
			}
		case "QUIT":
			return
		default:
			say("200 yes")
		}
	}
}

func readLine(r io.Reader, b []byte) (string, error) {
	one := iotest.OneByteReader(r)
	for c := make([]byte, 1); ; {
		if _, err := io.ReadFull(one, c); err != nil {
			return "", err
		}
		if b = append(b, c[0]); c[0] == '\n' {
			return strings.TrimSpace(string(b)), nil
		}
	}
}

// TestSession: parts that follow each other come by one transfer, others by one login, and by another one where that has ended.
func TestSession(t *testing.T) {
	// More than the buffers on the way hold.
	file := bytes.Repeat([]byte("0123456789abcde"), 2_000_000)
	same := wire.Validator{Modified: "20260101000000"}
	const login, transfer = "USER TYPE ", "SIZE MDTM EPSV REST RETR "
	for _, tt := range []struct {
		name   string
		server *lasting
		parts  [][2]int64 // offset and length
		want   []string   // commands of each client
	}{
		{"one after the other", &lasting{}, [][2]int64{{5, 10}, {15, 100_000}, {100_015, 1}}, []string{login + transfer}},
		{"elsewhere", &lasting{ended: "426 closed"}, [][2]int64{{5, 10}, {1_000_000, 50}, {7, 3}}, []string{login + transfer + transfer + transfer}},
		{"elsewhere, told that all is well", &lasting{ended: "226 fine"}, [][2]int64{{5, 10}, {1_000_000, 50}}, []string{login + transfer + transfer}},
		{"elsewhere, the login ends", &lasting{}, [][2]int64{{5, 10}, {1_000_000, 50}}, []string{login + transfer, login + transfer}},
		{"the end, and more", &lasting{ended: "426 closed"}, [][2]int64{{29_999_990, 10}, {0, 10}}, []string{login + transfer + transfer}},
		{"all that follows", &lasting{}, [][2]int64{{29_000_000, 0}, {5, 6}}, []string{login + transfer + transfer}},
		{"idle for too long", &lasting{idle: 1}, [][2]int64{{29_999_990, 10}, {29_999_990, 10}}, []string{login + transfer, login + transfer}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.server
			s.file, s.modified = file, same.Modified
			session := s.start(t)
			for _, p := range tt.parts {
				ctx, cancel := context.WithCancel(t.Context())
				body, err := session.Open(ctx, wire.Position{Offset: p[0], Length: p[1], Validator: same})
				if err != nil {
					t.Fatalf("Open(%v): %v", p, err)
				}
				end := int64(len(file))
				if p[1] > 0 {
					end = p[0] + p[1]
				}
				data, err := io.ReadAll(body)
				if err != nil || !bytes.Equal(data, file[p[0]:end]) {
					t.Fatalf("read %v = %d bytes, %v", p, len(data), err)
				}
				if body.Offset != p[0] || body.End != end || body.Size != int64(len(file)) || body.Validator != same || !body.Ranges {
					t.Errorf("the part %v is %+v", p, body)
				}
				cancel() // the part is there; what follows has a context of its own
				body.Close()
			}
			session.Close()
			s.mutex.Lock()
			defer s.mutex.Unlock()
			for i, commands := range s.clients {
				if commands = strings.TrimSuffix(commands, "QUIT "); i >= len(tt.want) || commands != tt.want[i] {
					t.Errorf("client %d said %q, want %q", i, commands, tt.want)
				}
			}
			if len(s.clients) != len(tt.want) {
				t.Errorf("%d clients, want %d", len(s.clients), len(tt.want))
			}
		})
	}
}

// TestSessionChanged: the file is another one, or the server cannot begin in its middle: what is read is not what was asked for, and says
// so.
func TestSessionChanged(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server *lasting
		ranges bool
	}{
		{"changed", &lasting{modified: "20260202000000"}, true},
		{"no REST", &lasting{modified: "20260101000000", rest: "502 no"}, false},
	} {
		tt.server.file = []byte("0123456789")
		session := tt.server.start(t)
		body, err := session.Open(t.Context(), wire.Position{Offset: 5, Length: 3, Validator: wire.Validator{Modified: "20260101000000"}})
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(body)
		if body.Offset != 0 || body.Ranges != tt.ranges || string(data) != "012" || err != nil {
			t.Errorf("%s: read %q, %v, from %d, ranges %v, want the beginning", tt.name, data, err, body.Offset, body.Ranges)
		}
		body.Close()
	}
}

// TestSessionRests: after a rest the server is asked whether the file is still the same.
func TestSessionRests(t *testing.T) {
	s := &lasting{file: bytes.Repeat([]byte("0123456789"), 3_000_000), modified: "20260101000000", ended: "426 closed"}
	session := s.start(t)
	same := wire.Validator{Modified: s.modified}
	for i, tt := range []struct {
		rest time.Duration
		want string // of all commands
	}{{0, "RETR"}, {patient / 2, "RETR"}, {patient, "RETR SIZE MDTM EPSV REST RETR"}} {
		session.(*reader).rests = time.Now().Add(-tt.rest)
		body, err := session.Open(t.Context(), wire.Position{Offset: int64(i), Length: 1, Validator: same})
		if err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(body); err != nil || string(data) != fmt.Sprint(i) {
			t.Errorf("read %q, %v, want %d", data, err, i)
		}
		body.Close()
		s.mutex.Lock()
		if got := strings.TrimSpace(s.clients[0]); !strings.HasSuffix(got, "REST "+tt.want) || len(s.clients) > 1 {
			t.Errorf("after a rest of %v: said %q, want %q at the end", tt.rest, got, tt.want)
		}
		s.mutex.Unlock()
	}
}

// TestSessionGivenUp: a part that is not read to its end takes the transfer with it, and what follows begins anew.
func TestSessionGivenUp(t *testing.T) {
	s := &lasting{file: bytes.Repeat([]byte("0123456789"), 1_000_000), modified: "20260101000000"}
	session := s.start(t)
	for _, cancelled := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		body, err := session.Open(ctx, wire.Position{Offset: 10, Length: 9_000_000})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(body, make([]byte, 20)); err != nil {
			t.Fatal(err)
		}
		if cancelled {
			cancel()
			if _, err := io.Copy(io.Discard, body); err == nil {
				t.Error("read after the end of the context: no error")
			}
		}
		body.Close()
		cancel()
		body, err = session.Open(t.Context(), wire.Position{Offset: 30, Length: 5})
		if err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(body); string(data) != "01234" || err != nil {
			t.Errorf("read %q, %v, want 01234", data, err)
		}
		body.Close()
	}
	if _, err := session.Open(t.Context(), wire.Position{Offset: 5}); err != nil {
		t.Error(err)
	}
	session.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := session.Open(ctx, wire.Position{}); err == nil {
		t.Error("Open with a context that has ended: no error")
	}
}
