// Package tftp reads one file over TFTP (RFC 1350) with options (RFC 2347): large blocks (RFC 2348), the file's size (RFC 2349), and
// windows of blocks (RFC 7440), without which every block waits for the one before to be acknowledged. It is a client of its own since
// the known ones have no windows or no end to their waiting.
package tftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// What is asked for. A server that knows better says so.
const (
	// blockSize fits a packet of 1500 bytes with the headers of IPv6, UDP and TFTP, and some 20 bytes for a tunnel.
	blockSize = 1428
	// windowSize is how many blocks are on the way at once: they fit the kernel's buffer for a socket.
	windowSize = 64
)

// Port of servers.
const Port = 69

// resend is how long an answer is waited for at first; the time doubles up to maxResend. The reader's own patience ends the waiting.
const (
	resend    = 300 * time.Millisecond
	maxResend = 4 * time.Second
)

// Options say how to ask.
type Options struct {
	// Resolve returns the addresses of a host, Listen a socket that can send to an address.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	Listen  func(ctx context.Context, remote netip.Addr) (*net.UDPConn, error)
	// Timeout bounds the waiting for a server's first packet.
	Timeout time.Duration
}

// A File is a file of a server.
type File struct {
	target  *url.URL
	name    string
	options Options
	failed  int // attempts, each at the next of the host's addresses
}

// New returns the file at target; nothing is asked yet. The slash after the server's name is no part of the file's name
// (RFC 3617).
func New(target *url.URL, o Options) (*File, error) {
	name, _, _ := strings.Cut(strings.TrimPrefix(target.Path, "/"), ";mode=")
	switch {
	case name == "":
		return nil, errors.New("the URL names no file")
	case strings.ContainsRune(name, 0):
		return nil, errors.New("the name of the file has a zero byte in it")
	}
	return &File{target: target, name: name, options: o}, nil
}

// Open asks for the file. TFTP knows no offsets: it always begins at 0.
func (f *File) Open(ctx context.Context, _ wire.Position) (*wire.Body, error) {
	server, err := f.server(ctx)
	if err != nil {
		return nil, err
	}
	var refused *ReplyError
	t, err := f.start(ctx, server, true)
	if errors.As(err, &refused) && refused.Code == errOptions {
		t, err = f.start(ctx, server, false)
	}
	if err != nil {
		f.failed++
		return nil, err
	}
	return &wire.Body{ReadCloser: t, URL: f.target.String(), Size: t.size}, nil
}

func (f *File) server(ctx context.Context) (netip.AddrPort, error) {
	addresses, err := f.options.Resolve(ctx, f.target.Hostname())
	if err != nil {
		return netip.AddrPort{}, err
	}
	port := uint64(Port)
	if p := f.target.Port(); p != "" {
		if port, err = strconv.ParseUint(p, 10, 16); err != nil {
			return netip.AddrPort{}, fmt.Errorf("port %s: %w", p, err)
		}
	}
	return netip.AddrPortFrom(addresses[f.failed%len(addresses)].Unmap(), uint16(port)), nil
}

// start sends the request, and waits for its answer.
func (f *File) start(ctx context.Context, server netip.AddrPort, options bool) (*transfer, error) {
	conn, err := f.options.Listen(ctx, server.Addr())
	if err != nil {
		return nil, err
	}
	// The default holds a window; more does no harm where the kernel allows it.
	_ = conn.SetReadBuffer(1 << 20)
	t := &transfer{
		ctx: ctx, conn: conn, server: server, size: -1, blockSize: 512, window: 1,
		last: request(f.name, options), packet: make([]byte, 4+maxBlock),
	}
	t.stop = context.AfterFunc(ctx, func() { conn.Close() })
	if err := t.negotiate(f.options.Timeout); err != nil {
		_ = t.Close() // the error that led here is the one to tell
		return nil, err
	}
	return t, nil
}

// A transfer is a file on its way.
type transfer struct {
	ctx    context.Context
	stop   func() bool
	conn   *net.UDPConn
	server netip.AddrPort // of the transfer, once it answered
	known  bool           // it did

	size      int64 // -1: unknown
	blockSize int
	window    int

	last   []byte // what is sent again when nothing comes
	packet []byte
	rest   []byte // of the last block, not read yet
	block  uint16 // the last one in order
	since  int    // blocks in order since the last acknowledgement
	gap    bool   // the server was told where the gap is
	got    int64  // bytes
	ended  bool
}

// negotiate waits for the answer to the request: the options that hold, or the first block.
func (t *transfer) negotiate(timeout time.Duration) error {
	if err := t.send(t.last); err != nil {
		return err
	}
	limit := time.Time{}
	if timeout > 0 {
		limit = time.Now().Add(timeout)
	}
	p, err := t.receive(limit)
	switch {
	case err != nil:
		return err
	case p.op == opOptions:
		if err := t.agree(p.body); err != nil {
			return err
		}
		return t.acknowledge()
	case p.op == opData && p.block == 1:
		return t.take(p)
	}
	return fmt.Errorf("the server answered the request with packet %d of kind %d", p.block, p.op)
}

// agree takes over what the server made of the options.
func (t *transfer) agree(body []byte) error {
	options, err := parseOptions(body)
	if err != nil {
		return err
	}
	if n, ok := options["blksize"]; ok {
		if n < 8 || n > blockSize {
			return fmt.Errorf("the server wants blocks of %d bytes, was asked for %d", n, blockSize)
		}
		t.blockSize = int(n)
	}
	if n, ok := options["windowsize"]; ok {
		if n < 1 || n > windowSize {
			return fmt.Errorf("the server wants windows of %d blocks, was asked for %d", n, windowSize)
		}
		t.window = int(n)
	}
	if n, ok := options["tsize"]; ok {
		t.size = n
	}
	return nil
}

// Read reads the file on.
func (t *transfer) Read(p []byte) (int, error) {
	for len(t.rest) == 0 {
		if t.ended {
			if t.size >= 0 && t.got != t.size {
				return 0, fmt.Errorf("the server ended the file after %d of %d bytes: %w", t.got, t.size, io.ErrUnexpectedEOF)
			}
			return 0, io.EOF
		}
		packet, err := t.receive(time.Time{})
		if err != nil {
			return 0, err
		}
		if err := t.take(packet); err != nil {
			return 0, err
		}
	}
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

// take looks at a block: the next one is what Read gives. Behind a gap the server has to begin again; a block that was there already is a
// late one, and is not answered, or both sides would send everything twice from then on.
func (t *transfer) take(p packet) error {
	if p.op != opData {
		return nil
	}
	switch ahead := p.block - t.block; {
	case ahead == 1:
		if len(p.body) > t.blockSize {
			return fmt.Errorf("the server sent a block of %d bytes, longer than the %d that were agreed", len(p.body), t.blockSize)
		}
		t.block, t.rest, t.gap = p.block, p.body, false
		t.got += int64(len(p.body))
		t.since++
		t.ended = len(p.body) < t.blockSize
		if t.ended || t.since >= t.window {
			return t.acknowledge()
		}
	case ahead > 1 && int(ahead) <= 2*windowSize && !t.gap:
		t.gap = true
		return t.acknowledge()
	}
	return nil
}

// acknowledge tells the server up to where everything is there.
func (t *transfer) acknowledge() error {
	t.since = 0
	t.last = append(t.last[:0], 0, opAck, byte(t.block>>8), byte(t.block))
	return t.send(t.last)
}

func (t *transfer) send(p []byte) error {
	_, err := t.conn.WriteToUDPAddrPort(p, t.server)
	return t.reason(err)
}

// receive returns the next packet of the server, and sends what it sent last again when none comes. A limit that is not zero ends that.
func (t *transfer) receive(limit time.Time) (packet, error) {
	for wait := resend; ; wait = min(2*wait, maxResend) {
		until := time.Now().Add(wait)
		if !limit.IsZero() && until.After(limit) {
			until = limit
		}
		if err := t.conn.SetReadDeadline(until); err != nil {
			return packet{}, t.reason(err)
		}
		p, err := t.next()
		if !errors.Is(err, os.ErrDeadlineExceeded) || !limit.IsZero() && !time.Now().Before(limit) {
			return p, t.reason(err)
		}
		t.gap = false
		if err := t.send(t.repeat()); err != nil {
			return packet{}, err
		}
	}
}

// repeat is what is sent when nothing comes: the request, or where everything is there up to.
func (t *transfer) repeat() []byte {
	if t.block > 0 || t.got > 0 {
		t.since = 0
		t.last = append(t.last[:0], 0, opAck, byte(t.block>>8), byte(t.block))
	}
	return t.last
}

// next reads packets until there is one of the server.
func (t *transfer) next() (packet, error) {
	for {
		n, from, err := t.conn.ReadFromUDPAddrPort(t.packet)
		if err != nil {
			return packet{}, err
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		// The first answer comes from the port of the transfer, which the server chooses (RFC 1350 section 4).
		if from.Addr().WithZone("") != t.server.Addr().WithZone("") || t.known && from.Port() != t.server.Port() {
			continue
		}
		p, err := parsePacket(t.packet[:n])
		if err != nil {
			continue // noise
		}
		t.known, t.server = true, netip.AddrPortFrom(t.server.Addr(), from.Port())
		if p.op == opError {
			return packet{}, p.failure()
		}
		return p, nil
	}
}

// reason returns why the socket was closed, if that is what err says.
func (t *transfer) reason(err error) error {
	if err != nil && t.ctx.Err() != nil {
		return context.Cause(t.ctx)
	}
	return err
}

// Close gives the transfer up. A server that still sends is told so.
func (t *transfer) Close() error {
	t.stop()
	switch {
	case !t.known || t.ended || t.ctx.Err() != nil:
	case t.got == t.size:
		_ = t.acknowledge() // whoever knows the size does not wait for the empty block at the end
	default:
		_, _ = t.conn.WriteToUDPAddrPort([]byte("\x00\x05\x00\x00stop\x00"), t.server) // politeness, not more
	}
	return t.conn.Close()
}
