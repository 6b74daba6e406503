package tftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// A server sends one file, as RFC 7440 says, over a line that loses packets.
type server struct {
	file []byte
	// plain knows no options, refuse answers them with an error.
	plain, refuse bool
	// reply is sent in the place of the file.
	reply []byte
	// stranger sends packets from another port, too.
	stranger bool
	// lose tells whether the nth packet is lost on its way, in either direction.
	lose func(n int) bool
	// window is the largest that it grants; 0: any.
	window int

	ctx     context.Context // the test's: with it the server ends
	packets int
	acks    atomic.Int32 // that arrived
}

func (s *server) start(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var end context.CancelFunc
	s.ctx, end = context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run(conn)
	}()
	t.Cleanup(func() { end(); conn.Close(); <-done })
	return conn.LocalAddr().String()
}

func (s *server) run(conn *net.UDPConn) {
	buffer := make([]byte, 2048)
	for {
		n, client, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		if n > 2 && buffer[1] == opRead {
			s.send(client, bytes.Split(buffer[2:n], []byte{0}))
		}
	}
}

// send serves one request to its end.
func (s *server) send(client netip.AddrPort, fields [][]byte) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(s.ctx, func() { conn.Close() })()
	stranger, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return
	}
	defer stranger.Close()
	put := func(p []byte) {
		if s.stranger && p[1] == opData {
			stranger.WriteToUDPAddrPort(append([]byte{0, opData, p[2], p[3]}, "forged"...), client)
		}
		if s.packets++; s.lose == nil || !s.lose(s.packets) {
			conn.WriteToUDPAddrPort(p, client)
		}
	}
	if s.reply != nil {
		put(s.reply)
		return
	}
	size, window := 512, 1
	first := []byte(nil)
	if len(fields) > 4 && s.refuse {
		put([]byte("\x00\x05\x00\x08no options\x00"))
		return
	}
	if len(fields) > 4 && !s.plain {
		size, window = blockSize, windowSize
		if s.window > 0 {
			window = s.window
		}
		first = fmt.Appendf([]byte{0, opOptions}, "blksize\x00%d\x00tsize\x00%d\x00windowsize\x00%d\x00", size, len(s.file), window)
	}
	s.transfer(conn, put, first, size, window)
}

// transfer sends windows until the last block is acknowledged.
func (s *server) transfer(conn *net.UDPConn, put func([]byte), options []byte, size, window int) {
	blocks := len(s.file)/size + 1
	acked := 0
	if options != nil {
		acked = -1
	}
	// Only on a line that loses something is there a reason to send it again.
	patience := time.Hour
	if s.lose != nil {
		patience = 50 * time.Millisecond
	}
	buffer := make([]byte, 100)
	for acked < blocks && s.ctx.Err() == nil {
		if acked < 0 {
			put(options)
		}
		for b := acked + 1; acked >= 0 && b <= min(acked+window, blocks); b++ {
			data := s.file[(b-1)*size : min(b*size, len(s.file))]
			put(append([]byte{0, opData, byte(b >> 8), byte(b)}, data...))
		}
		conn.SetReadDeadline(time.Now().Add(patience))
		n, err := conn.Read(buffer)
		s.packets++
		if err != nil || n < 4 || buffer[1] == opError || s.lose != nil && s.lose(s.packets) {
			if err == nil && n >= 2 && buffer[1] == opError {
				return
			}
			continue
		}
		s.acks.Add(1)
		if ahead := int16(uint16(buffer[2])<<8 | uint16(buffer[3]) - uint16(max(acked, 0))); acked < 0 || ahead > 0 {
			acked = max(acked, 0) + int(ahead)
		}
	}
}

func get(ctx context.Context, address string) ([]byte, *wire.Body, error) {
	body, err := open(ctx, address, time.Hour)
	if err != nil {
		return nil, nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	return data, body, err
}

// open asks for the file, and waits so long for the server's first packet.
func open(ctx context.Context, address string, timeout time.Duration) (*wire.Body, error) {
	u, err := url.Parse("tftp://" + address + "/dir/file")
	if err != nil {
		return nil, err
	}
	d := wire.Dialer{}
	f, err := New(u, Options{Resolve: d.Resolve, Listen: d.ListenPacket, Timeout: timeout})
	if err != nil {
		return nil, err
	}
	return f.Open(ctx, wire.Position{Offset: 5})
}

func noise(n int) []byte {
	data := make([]byte, n)
	random := rand.New(rand.NewPCG(1, 1))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	return data
}

func TestGet(t *testing.T) {
	every := func(k int) func(int) bool { return func(n int) bool { return n%k == k-1 } }
	for _, tt := range []struct {
		name   string
		server *server
		size   int64
	}{
		{"one block", &server{file: noise(100)}, 100},
		{"empty", &server{}, 0},
		{"whole blocks", &server{file: noise(10 * blockSize)}, 10 * blockSize},
		{"whole windows", &server{file: noise(2 * windowSize * blockSize)}, 2 * windowSize * blockSize},
		{"some windows", &server{file: noise(1_000_001)}, 1_000_001},
		{"smaller windows", &server{file: noise(300_000), window: 3}, 300_000},
		{"block numbers begin anew", &server{file: noise(70_000 * 512), plain: true}, -1},
		{"no options", &server{file: noise(10_000), plain: true}, -1},
		{"options refused", &server{file: noise(10_000), refuse: true}, -1},
		{"first packet lost", &server{file: noise(10_000), lose: func(n int) bool { return n == 1 }}, 10_000},
		{"a stranger sends, too", &server{file: noise(300_000), stranger: true}, 300_000},
		{"every 7th packet lost", &server{file: noise(300_000), lose: every(7)}, 300_000},
		{"every 100th packet lost", &server{file: noise(900_000), lose: every(100)}, 900_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, body, err := get(t.Context(), tt.server.start(t))
			if err != nil || !bytes.Equal(data, tt.server.file) {
				t.Fatalf("get = %d bytes, %v, want %d", len(data), err, len(tt.server.file))
			}
			if body.Size != tt.size || body.Offset != 0 || body.Validator.Known() {
				t.Errorf("size %d, offset %d, validator %v, want %d, 0, none", body.Size, body.Offset, body.Validator, tt.size)
			}
		})
	}
}

// TestWindow: one acknowledgement a window is enough.
func TestWindow(t *testing.T) {
	s := server{file: noise(20*windowSize*blockSize - 1)}
	if _, _, err := get(t.Context(), s.start(t)); err != nil {
		t.Fatal(err)
	}
	// Some are sent again by a machine that had no time for the server.
	if n := s.acks.Load(); n >= 40 {
		t.Errorf("%d acknowledgements for 20 windows", n)
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		name, reply, want   string
		permanent, notThere bool
	}{
		{"not found", "\x00\x05\x00\x01no\x1b[2Jsuch file\x00", "the server answered error 1: no [2Jsuch file", true, true},
		{"no access", "\x00\x05\x00\x02x\x00", "error 2", true, true},
		{"something", "\x00\x05\x00\x00x", "error 0", false, true},
		{"option too large", "\x00\x06blksize\x009000\x00", "blocks of 9000 bytes", false, false},
		{"window too large", "\x00\x06windowsize\x0065535\x00", "windows of 65535 blocks", false, false},
		{"option no number", "\x00\x06tsize\x00-1\x00", "which is no number", false, false},
		{"wrong block", "\x00\x03\x00\x07x", "packet 7 of kind 3", false, false},
	} {
		s := server{reply: []byte(tt.reply)}
		_, _, err := get(t.Context(), s.start(t))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: get = %v, want an error with %q", tt.name, err, tt.want)
		}
		var reply *ReplyError
		if errors.As(err, &reply) && (reply.Permanent() != tt.permanent || reply.NotThere() != tt.notThere) {
			t.Errorf("%s: permanent %v, not there %v, want %v, %v", tt.name, reply.Permanent(), reply.NotThere(), tt.permanent, tt.notThere)
		}
	}
}

// TestSilence: a server that says nothing is waited for as long as the options say, and one that stops as long as the context lasts.
func TestSilence(t *testing.T) {
	silent := server{file: noise(10), lose: func(int) bool { return true }}
	if _, err := open(t.Context(), silent.start(t), time.Second); !isTimeout(err) {
		t.Errorf("open at a silent server = %v, want a time-out", err)
	}
	reason := errors.New("the reader's patience is over")
	ctx, cancel := context.WithCancelCause(t.Context())
	begun := make(chan struct{})
	stops := server{file: noise(10_000_000), lose: func(n int) bool {
		if n == 700 { // when it was silent for half a second
			select {
			case <-begun:
			case <-ctx.Done():
			}
			cancel(reason)
		}
		return n > 100
	}}
	body, err := open(ctx, stops.start(t), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := body.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	close(begun)
	if _, err := io.Copy(io.Discard, body); !errors.Is(err, reason) {
		t.Errorf("read from a server that stops = %v, want %v", err, reason)
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func TestNew(t *testing.T) {
	for _, bad := range []string{"tftp://h", "tftp://h/", "tftp://h/a%00b"} {
		u, err := url.Parse(bad)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(u, Options{}); err == nil {
			t.Errorf("New(%s): no error", bad)
		}
	}
}

func FuzzPackets(f *testing.F) {
	f.Add([]byte("\x00\x03\x00\x01data"))
	f.Add([]byte("\x00\x05\x00\x01text\x00"))
	f.Add([]byte("\x00\x06blksize\x001428\x00tsize\x0012\x00windowsize\x0064\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parsePacket(data)
		if err != nil {
			return
		}
		tr := &transfer{size: -1, blockSize: 512, window: 1}
		switch p.op {
		case opError:
			if strings.ContainsAny(p.failure().Error(), "\x1b\n\r") {
				t.Errorf("failure of %q moves the cursor", data)
			}
		case opOptions:
			if tr.agree(p.body) == nil && (tr.blockSize < 8 || tr.blockSize > blockSize || tr.window < 1 || tr.window > windowSize || tr.size < -1) {
				t.Errorf("agreed to %q", data)
			}
		}
	})
}
