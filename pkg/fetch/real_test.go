package fetch

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// cutter makes connections that are cut after some bytes, each at the next place of a list.
type cutter struct {
	mutex  sync.Mutex
	places []int64
}

func (c *cutter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &cutConn{Conn: conn, cutter: c}, nil
}

// cutConn is cut when more than small talk has passed.
type cutConn struct {
	net.Conn
	cutter *cutter
	place  int64
	got    int64
}

func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.got += int64(n)
	c.cutter.mutex.Lock()
	defer c.cutter.mutex.Unlock()
	const smallTalk = 20_000
	if c.place == 0 && c.got > smallTalk && len(c.cutter.places) > 0 {
		c.place, c.cutter.places = c.cutter.places[0], c.cutter.places[1:]
	}
	if c.place > 0 && c.got > c.place {
		c.Conn.Close()
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return n, err
}

// fetchCut gets a source whose connections are cut twice, and expects it to be taken up, with the given events.
func fetchCut(t *testing.T, s Source, e Environment, events string) *copied {
	t.Helper()
	c := &cutter{places: []int64{400_000, 300_000}}
	e.Patience, e.connect = hasty, c.dial
	got, err := get(t, s, e)
	if err != nil || !bytes.Equal(got.data, image) {
		t.Errorf("get %v = %d bytes, %v, want the image of %d bytes: %v", s.URLs, len(got.data), err, len(image), got.all)
	}
	if kinds := got.kinds(); err == nil && kinds != events {
		t.Errorf("get %v: events %v, want %s", s.URLs, got.all, events)
	}
	return got
}

// fails gets a source, and expects an error with the text in it, at the first attempt.
func fails(t *testing.T, s Source, e Environment, want string) {
	t.Helper()
	e.Patience = hasty
	c, err := get(t, s, e)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("get %v = %v, want an error with %q", s.URLs, err, want)
	}
	if len(c.waits()) > 0 {
		t.Errorf("get %v: tried again, though the answer will be the same: %v", s.URLs, c.all)
	}
}
