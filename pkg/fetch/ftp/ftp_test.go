package ftp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// A server answers commands as a map says, and sends its file by passive connections.
type server struct {
	file []byte
	// answers take the place of the right ones, by command.
	answers map[string]string
	// cut is how many bytes of the file are sent; 0: all.
	cut int

	commands []string
	data     net.Listener
}

func (s *server) start(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if s.data, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err == nil {
			s.serve(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); s.data.Close(); <-done })
	return listener.Addr().String()
}

func (s *server) serve(conn net.Conn) {
	offset := 0
	say := func(name, text string) {
		if other, ok := s.answers[name]; ok {
			text = other
		}
		io.WriteString(conn, text+"\r\n")
	}
	say("", "220-hello\r\n220 there")
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		s.commands = append(s.commands, lines.Text())
		name, argument, _ := strings.Cut(lines.Text(), " ")
		port := s.data.Addr().(*net.TCPAddr).Port
		switch name {
		case "USER":
			say(name, "331 password?")
		case "PASS":
			say(name, "230 in")
		case "SIZE":
			say(name, fmt.Sprintf("213 %d", len(s.file)))
		case "MDTM":
			say(name, "213 20260101000000")
		case "EPSV":
			say(name, fmt.Sprintf("229 Entering (|||%d|)", port))
		case "PASV":
			say(name, fmt.Sprintf("227 Entering (10,9,8,7,%d,%d).", port>>8, port&255))
		case "REST":
			fmt.Sscan(argument, &offset)
			if say(name, "350 go on"); s.answers[name] != "" {
				offset = 0
			}
		case "RETR":
			if say(name, "150 here"); s.answers[name] == "" {
				s.send(offset)
				say("end", "226 done")
			}
		case "QUIT":
			return
		default:
			say(name, "200 yes")
		}
	}
}

func (s *server) send(offset int) {
	data, err := s.data.Accept()
	if err != nil {
		return
	}
	file := s.file
	if s.cut > 0 {
		file = file[:s.cut]
	}
	data.Write(file[offset:])
	data.Close()
}

func get(ctx context.Context, address string, p wire.Position) ([]byte, *wire.Body, error) {
	u, err := url.Parse("ftp://name:secret@" + address + "/dir/file;type=i")
	if err != nil {
		return nil, nil, err
	}
	f, err := New(u, Options{Dial: wire.Dialer{}.DialContext, TLS: &tls.Config{}})
	if err != nil {
		return nil, nil, err
	}
	body, err := f.Open(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	return data, body, err
}

func TestGet(t *testing.T) {
	file := bytes.Repeat([]byte("0123456789"), 50_000)
	same := wire.Validator{Modified: "20260101000000"}
	for _, tt := range []struct {
		name      string
		answers   map[string]string
		position  wire.Position
		offset    int64
		size      int64
		validator wire.Validator
	}{
		{"whole", nil, wire.Position{}, 0, 500_000, same},
		{"from an offset", nil, wire.Position{Offset: 300_001, Validator: same}, 300_001, 500_000, same},
		{"last byte", nil, wire.Position{Offset: 499_999}, 499_999, 500_000, same},
		{"changed", nil, wire.Position{Offset: 5, Validator: wire.Validator{Modified: "20250101000000"}}, 0, 500_000, same},
		{"shorter now", nil, wire.Position{Offset: 600_000, Validator: same}, 0, 500_000, same},
		{"no REST", map[string]string{"REST": "502 no"}, wire.Position{Offset: 5, Validator: same}, 0, 500_000, same},
		{"no EPSV", map[string]string{"EPSV": "500 what?"}, wire.Position{}, 0, 500_000, same},
		{"no SIZE, no MDTM", map[string]string{"SIZE": "500 what?", "MDTM": "502 no"}, wire.Position{}, 0, -1, wire.Validator{}},
		{"no password", map[string]string{"USER": "230 in"}, wire.Position{}, 0, 500_000, same},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &server{file: file, answers: tt.answers}
			data, body, err := get(t.Context(), s.start(t), tt.position)
			if err != nil || !bytes.Equal(data, file[tt.offset:]) {
				t.Fatalf("get = %d bytes, %v, want %d", len(data), err, len(file)-int(tt.offset))
			}
			if body.Ranges != (tt.answers["REST"] == "") {
				t.Errorf("can begin at an offset: %v", body.Ranges)
			}
			if body.Offset != tt.offset || body.Size != tt.size || body.Validator != tt.validator || strings.Contains(body.URL, "secret") {
				t.Errorf("got %s, offset %d, size %d, validator %v, want %d, %d, %v", body.URL, body.Offset, body.Size, body.Validator, tt.offset, tt.size, tt.validator)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	file := bytes.Repeat([]byte("x"), 100_000)
	for _, tt := range []struct {
		name                string
		server              server
		want                string
		permanent, notThere bool
	}{
		{"too many clients", server{answers: map[string]string{"": "421 too many"}}, "the server said 421 too many", false, false},
		{"wrong password", server{answers: map[string]string{"PASS": "530 no\x1b[2J"}}, "530 no [2J to PASS", true, false},
		{"no file", server{answers: map[string]string{"SIZE": "550 none"}}, "550 none to SIZE", true, true},
		{"no file, no SIZE", server{answers: map[string]string{"SIZE": "500 what", "RETR": "550 none"}}, "550 none to RETR", true, true},
		{"busy", server{answers: map[string]string{"RETR": "450 busy"}}, "450 busy to RETR", false, false},
		{"cut, and said so", server{file: file, cut: 50_000, answers: map[string]string{"end": "426 aborted"}}, "426 aborted", false, false},
		{"wrong size", server{answers: map[string]string{"SIZE": "213 -5"}}, `the size is "-5"`, false, false},
		{"wrong port", server{answers: map[string]string{"EPSV": "229 here"}}, "names no port", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := get(t.Context(), tt.server.start(t), wire.Position{})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("get = %v, want an error with %q", err, tt.want)
			}
			var reply *ReplyError
			if errors.As(err, &reply) && (reply.Permanent() != tt.permanent || reply.NotThere() != tt.notThere) {
				t.Errorf("permanent %v, not there %v, want %v, %v", reply.Permanent(), reply.NotThere(), tt.permanent, tt.notThere)
			}
		})
	}
}

// TestContext: with the context ends the waiting for an answer.
func TestContext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := get(ctx, listener.Addr().String(), wire.Position{}); err == nil {
		t.Error("get from a silent server: no error")
	}
}

func TestNew(t *testing.T) {
	for _, bad := range []string{"ftp://h", "ftp://h/", "ftp://h/a%0d%0aDELE%20b", "ftp://u%0aDELE:p@h/a", "ftp://u:p%0a@h/a"} {
		u, err := url.Parse(bad)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(u, Options{}); err == nil {
			t.Errorf("New(%s): no error", bad)
		}
	}
}

func TestPorts(t *testing.T) {
	for _, tt := range []struct {
		in         string
		epsv, pasv uint16 // 0: an error
	}{
		{"Entering Extended Passive Mode (|||6446|)", 6446, 0},
		{"(!!!1!)", 1, 0},
		{"(|||0|)", 0, 0},
		{"(|||65536|)", 0, 0},
		{"Entering Passive Mode (192,0,2,1,4,5).", 0, 4<<8 | 5},
		{"Entering Passive Mode 192,0,2,1,4,5", 0, 4<<8 | 5},
		{"(192,0,2,1,256,5)", 0, 0},
		{"(192,0,2,1,0,0)", 0, 0},
		{"", 0, 0},
	} {
		if got, err := parseEPSV(tt.in); got != tt.epsv || (err == nil) != (tt.epsv != 0) {
			t.Errorf("parseEPSV(%q) = %d, %v, want %d", tt.in, got, err, tt.epsv)
		}
		if got, err := parsePASV(tt.in); got != tt.pasv || (err == nil) != (tt.pasv != 0) {
			t.Errorf("parsePASV(%q) = %d, %v, want %d", tt.in, got, err, tt.pasv)
		}
	}
}

func FuzzPorts(f *testing.F) {
	f.Add("Entering Extended Passive Mode (|||6446|)")
	f.Add("Entering Passive Mode (192,0,2,1,4,5).")
	f.Fuzz(func(t *testing.T, text string) {
		if port, err := parseEPSV(text); (err == nil) != (port > 0) {
			t.Errorf("parseEPSV(%q) = %d, %v", text, port, err)
		}
		if port, err := parsePASV(text); (err == nil) != (port > 0) {
			t.Errorf("parsePASV(%q) = %d, %v", text, port, err)
		}
	})
}
