package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly/ring"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/server"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// A file from the images' web server goes to three machines, which wait for it.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	image, err := server.Open(ctx, "http://images.example/live.iso")
	if err != nil {
		log.Fatal(err)
	}
	defer image.Close()
	s := server.Server{
		Hosts:    []string{"192.0.2.11", "192.0.2.12", "192.0.2.13"},
		Password: os.Getenv("RING_PASSWORD"),
		Alive:    server.Ping,
		Report:   func(e server.Event) { log.Print(e) },
	}
	result, err := s.Send(ctx, image, "live.iso")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("complete:", result.Complete, "left out:", result.Skipped, "lost:", result.Lost)
}

func TestOpen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(file, []byte("an image"), 0o600); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/image":
			http.ServeFile(w, r, file)
		case "/chunked":
			w.(http.Flusher).Flush()
			io.WriteString(w, "an image")
		case "/endless":
			conn, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			rw.WriteString("HTTP/1.0 200 OK\r\n\r\nan im")
			rw.Flush()
		default:
			http.NotFound(w, r)
		}
	}))
	defer web.Close()
	for _, tt := range []struct{ source, err string }{
		{file, ""},
		{web.URL + "/image", ""},
		{web.URL + "/chunked", ""},
		{web.URL + "/endless", "does not tell how long"},
		{web.URL + "/nothing", "404"},
		{file + ".no", "no such file"},
		{"http://\x7f/", "invalid"},
	} {
		image, err := server.Open(t.Context(), tt.source)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("Open(%s) = %v, want %q", tt.source, err, tt.err)
		}
		if err != nil {
			continue
		}
		data, err := io.ReadAll(image)
		if image.Close(); err != nil || string(data) != "an image" {
			t.Errorf("Open(%s) gave %q, %v", tt.source, data, err)
		}
	}
}

func TestSendRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server server.Server
		want   string
	}{
		{"no hosts", server.Server{}, "none of the hosts is there"},
		{"a host twice", server.Server{Hosts: []string{"a", "a"}}, "twice"},
		{"no host's name", server.Server{Hosts: []string{"a b"}}, "no name of a host"},
		{"password in the old dialect", server.Server{Hosts: []string{"a"}, Dialect: ring.Dialect06, Password: "x"}, "has no password"},
		{"tree in the new dialect", server.Server{Hosts: []string{"a"}, Fanout: 2}, "has no trees"},
		{"wide tree", server.Server{Hosts: []string{"a"}, Dialect: ring.Dialect06, Fanout: 9}, "at most 8"},
		{"nobody is there", server.Server{Hosts: []string{"a", "b"}, Alive: func(context.Context, string) error { return errors.New("asleep") }}, "none of the hosts is there"},
	} {
		var skipped []string
		tt.server.Report = func(e server.Event) {
			if s, ok := e.(server.Skipped); ok {
				skipped = append(skipped, s.Host)
			}
		}
		got, err := tt.server.Send(t.Context(), strings.NewReader("x"), "x")
		if err == nil || !strings.Contains(err.Error(), tt.want) || len(got.Complete) > 0 {
			t.Errorf("%s: Send = %+v, %v, want %q", tt.name, got, err, tt.want)
		}
		if tt.server.Alive != nil && (!slices.Equal(skipped, tt.server.Hosts) || !slices.Equal(got.Skipped, tt.server.Hosts)) {
			t.Errorf("%s: skipped %v and told of %v, want %v", tt.name, got.Skipped, skipped, tt.server.Hosts)
		}
	}
}

// TestUnconfirmed: a node that never says that it has the file, and one that says that it has another one.
func TestUnconfirmed(t *testing.T) {
	for i, tt := range []struct {
		name   string
		answer func(net.Conn)
		want   error
	}{
		{"silent", func(conn net.Conn) { io.Copy(io.Discard, conn) }, server.ErrUnconfirmed},
		{"another size", func(conn net.Conn) { ring.PutTotal(conn, 5) }, server.ErrUnconfirmed},
		{"gone", func(conn net.Conn) { conn.Close() }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			host := fmt.Sprintf("127.91.0.%d", i+1)
			for _, port := range []int{ring.DataPort, ring.ControlPort} {
				l, err := net.Listen("tcp4", net.JoinHostPort(host, strconv.Itoa(port)))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { l.Close() })
				go func() {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					defer conn.Close()
					if port == ring.DataPort {
						io.Copy(io.Discard, conn)
						return
					}
					if _, err := ring.Receive(conn, ""); err != nil {
						t.Error(err)
						return
					}
					io.WriteString(conn, ring.Dialect07.Ready(host))
					if _, err := ring.Total(conn); err != nil {
						t.Error(err)
						return
					}
					tt.answer(conn)
				}()
			}
			got, err := server.Server{Hosts: []string{host}, Confirm: 200 * time.Millisecond}.Send(t.Context(), strings.NewReader("an image"), "x")
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || len(got.Complete) > 0 || got.Bytes != 8 {
				t.Errorf("Send = %+v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestAbsent(t *testing.T) {
	e := server.Absent{Hosts: []string{"192.0.2.1", "192.0.2.2"}, For: time.Minute}
	if got, want := e.String(), "not ready after 1m0s: 192.0.2.1, 192.0.2.2"; got != want {
		t.Errorf("String = %q, want %q", got, want)
	}
}

func TestPing(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "lan")
		n.IPBatch("address add 10.1.0.1/24 dev eth0\nlink set eth0 up\n")
		n.FarIP("address add 10.1.0.2/24 dev lan")
		if err := server.Ping(t.Context(), "10.1.0.2"); err != nil {
			t.Errorf("Ping(a host that is there) = %v", err)
		}
		if err := server.Ping(t.Context(), "10.1.0.3"); err == nil {
			t.Error("Ping(a host that is not there) = nil")
		}
		if err := server.Ping(t.Context(), "192.0.2.1"); err == nil {
			t.Error("Ping(a host to which no route leads) = nil")
		}
	})
}
