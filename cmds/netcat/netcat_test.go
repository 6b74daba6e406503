package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// echo is a server that answers the first bytes of each connection with the same in upper case.
func echo(t *testing.T, network, address string) net.Addr {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 64<<10)
			n, _ := conn.Read(b)
			_, _ = conn.Write(bytes.ToUpper(b[:n]))
			conn.Close()
		}
	}()
	return l.Addr()
}

func TestRun(t *testing.T) {
	_, port, err := net.SplitHostPort(echo(t, "tcp", "127.0.0.1:0").String())
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "socket")
	echo(t, "unix", socket)
	tests := []struct {
		name, args, want, wantErr string
	}{
		{"tcp", "127.0.0.1 " + port, "HELLO", ""},
		{"tcp of one family", "-4 -w 60 127.0.0.1 " + port, "HELLO", ""},
		{"other family", "-6 127.0.0.1 " + port, "", "no suitable address"},
		{"unix", "-U " + socket, "HELLO", ""},
		{"only connect", "-z 127.0.0.1 " + port, "", ""},
		{"nobody there", "-U " + socket + ".none", "", "no such file"},
		{"no TLS there", "-ssl 127.0.0.1 " + port, "", "tls: "},
		{"no port", "127.0.0.1", "", "usage"},
		{"both families", "-4 -6 127.0.0.1 " + port, "", "usage"},
		{"TLS over UDP", "-u -ssl 127.0.0.1 " + port, "", "usage"},
		{"unknown flag", "-q 127.0.0.1 " + port, "", "usage"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			err := run(strings.Fields(tt.args), strings.NewReader("hello"), &out)
			if out.String() != tt.want || (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("run(%s) = %v, wrote %q, want %q, error with %q", tt.args, err, &out, tt.want, tt.wantErr)
			}
		})
	}
}

// TestListen: one end listens, the other, which tries until it is there, sends and reads the answer.
func TestListen(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	got := make(chan string, 1)
	go func() {
		var out bytes.Buffer
		if err := run([]string{"-l", "-U", socket}, strings.NewReader("answer"), &out); err != nil {
			t.Error(err)
		}
		got <- out.String()
	}()
	var out bytes.Buffer
	for {
		err := run([]string{"-U", socket}, strings.NewReader("question"), &out)
		if err == nil {
			break
		}
		if !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "no such file") && !strings.Contains(err.Error(), "refused") {
			t.Fatal(err)
		}
	}
	if s := <-got; s != "question" || out.String() != "answer" {
		t.Errorf("the listener got %q, the other %q, want question and answer", s, &out)
	}
}

// TestAnsweredBeforeAsked: one who has said all there is to say still hears what comes in later.
func TestAnsweredBeforeAsked(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	in, input := io.Pipe()
	var out bytes.Buffer
	done := make(chan error, 1)
	go func() { done <- run([]string{"-U", socket}, in, &out) }()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := input.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	// Nothing tells that the end of the answer was seen; if that is later than this, the test sees less, and does not fail.
	select {
	case err := <-done:
		t.Fatalf("ended with %v before its input did", err)
	case <-time.After(50 * time.Millisecond):
	}
	input.Close()
	heard, err := io.ReadAll(conn)
	if runErr := <-done; err != nil || runErr != nil || string(heard) != "question" || out.String() != "answer" {
		t.Errorf("heard %q (%v), the other %q (%v), want question and answer", heard, err, &out, runErr)
	}
}

// TestUDP: a datagram socket has no end, so the wait ends it.
func TestUDP(t *testing.T) {
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var heard bytes.Buffer
	done := make(chan error, 1)
	go func() {
		conn, err := acceptUDP(socket)
		if err == nil {
			defer conn.Close()
			err = exchange(conn, strings.NewReader("answer"), &heard, 500*time.Millisecond)
		}
		done <- err
	}()
	// (Nobody dials a port at which nobody listens yet: it may be given to the one who dials.)
	conn, err := net.Dial("udp", socket.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 16)
	if n, err := conn.Read(answer); err != nil || string(answer[:n]) != "answer" {
		t.Errorf("got %q, %v, want answer", answer[:n], err)
	}
	if err := <-done; err != nil || heard.String() != "question" {
		t.Errorf("the listener: %v, heard %q, want question", err, &heard)
	}
}
