package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
)

// image is larger than the buffers on the way, and no multiple of anything.
var image = noise(1, 1190017)

// noise is data in which no part is like another.
func noise(seed uint64, n int) []byte {
	data := make([]byte, n+8)
	random := rand.NewPCG(seed, 0)
	for i := 0; i < n; i += 8 {
		v := random.Uint64()
		for j := range 8 {
			data[i+j] = byte(v >> (8 * j))
		}
	}
	return data[:n]
}

// strong is the image with a validator, and changed another one of the same size.
var (
	strong  = fetchtest.File{Data: image, ETag: `"one"`}
	dated   = fetchtest.File{Data: image, Modified: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)}
	bare    = fetchtest.File{Data: image}
	changed = fetchtest.File{Data: noise(2, len(image)), ETag: `"two"`}
	longer  = fetchtest.File{Data: noise(3, len(image)+7), ETag: `"three"`}
)

func digestOf(data []byte) Digest {
	sum := sha256.Sum256(data)
	return Digest{"sha256", hex.EncodeToString(sum[:])}
}

// hasty makes tests quick that cannot run in a bubble.
var hasty = Patience{Silent: 200 * time.Millisecond, Unknown: 50 * time.Millisecond, Delay: time.Millisecond, MaxDelay: 4 * time.Millisecond}

// events records what was reported.
type events struct {
	mutex sync.Mutex
	all   []Event
}

func (e *events) report(event Event) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.all = append(e.all, event)
}

// kinds returns the names of the events in their order, without retries.
func (e *events) kinds() string {
	var names []string
	for _, event := range e.all {
		if name := strings.TrimPrefix(fmt.Sprintf("%T", event), "fetch."); name != "Retrying" {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

func (e *events) waits() []time.Duration {
	var waits []time.Duration
	for _, event := range e.all {
		if r, ok := event.(Retrying); ok {
			waits = append(waits, r.Delay)
		}
	}
	return waits
}

// A copy is what a reader of a stream has in the end.
type copied struct {
	data     []byte
	restarts int
	stream   *Stream
	events
}

// get reads a source as a device is filled: a new beginning overwrites what is there.
func get(t *testing.T, s Source, e Environment) (*copied, error) {
	t.Helper()
	c := &copied{}
	if e.Roots == "" {
		e.Roots = t.TempDir()
	}
	e.Report = c.report
	stream, err := Open(t.Context(), s, e)
	if err != nil {
		return c, err
	}
	defer stream.Close()
	c.stream = stream
	err = c.readAll(stream)
	for _, event := range c.all {
		if event.String() == "" {
			t.Errorf("%T.String() is empty", event)
		}
	}
	return c, err
}

func (c *copied) readAll(r io.Reader) error {
	block := make([]byte, 100_000)
	for {
		n, err := r.Read(block)
		c.data = append(c.data, block[:n]...)
		var restart *RestartError
		switch {
		case err == io.EOF:
			return nil
		case errors.As(err, &restart):
			c.restarts++
			c.data = c.data[:0]
		case err != nil:
			return err
		}
	}
}

// in runs a test in a bubble, in which time passes by itself, with a network in memory.
func in(t *testing.T, test func(*testing.T, *fetchtest.Network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := fetchtest.NewNetwork()
		defer network.Close()
		test(t, network)
	})
}

func source(urls ...string) Source {
	var s Source
	for _, u := range urls {
		s.URLs = append(s.URLs, URL(u))
	}
	return s
}

func TestGet(t *testing.T) {
	sum := sha512.Sum512(image)
	right512, wrong := Digest{"sha512", hex.EncodeToString(sum[:])}, Digest{"sha512", strings.Repeat("0", 128)}
	for _, tt := range []struct {
		name    string
		answer  fetchtest.Answer
		digest  Digest
		wantErr string
	}{
		{"plain", fetchtest.Answer{}, Digest{}, ""},
		{"SHA-256", fetchtest.Answer{}, digestOf(image), ""},
		{"SHA-512", fetchtest.Answer{}, right512, ""},
		{"wrong digest", fetchtest.Answer{}, wrong, "is not the expected one: its sha512 is " + right512.Hex + ", expected " + wrong.Hex},
		{"chunks", fetchtest.Answer{Header: map[string]string{"Content-Length": ""}}, digestOf(image), ""},
		{"ends with the connection, digest known", fetchtest.Answer{Break: fetchtest.EndOfConnection, At: len(image)}, digestOf(image), ""},
		{"ends with the connection", fetchtest.Answer{Break: fetchtest.EndOfConnection, At: len(image)}, Digest{}, "give its digest"},
		{"encoded", fetchtest.Answer{Header: map[string]string{"Content-Encoding": "gzip"}}, Digest{}, "Content-Encoding gzip"},
		{"404", fetchtest.Answer{Status: 404}, Digest{}, "the server answered 404 Not Found"},
		{"401", fetchtest.Answer{Status: 401}, Digest{}, "401 Unauthorized"},
		{"no address", fetchtest.Answer{Status: 302, Header: map[string]string{"Location": "http://u:secret@[x/"}}, Digest{}, "something that is no address"},
		{"another protocol", fetchtest.Answer{Status: 302, Header: map[string]string{"Location": "ftp://h/x"}}, Digest{}, "redirects to the protocol"},
		{"loop", fetchtest.Answer{Status: 302, Header: map[string]string{"Location": "/image?secret"}}, Digest{}, "stopped after 50 redirects"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := fetchtest.Always(t, bare, tt.answer)
			s := source(server.Image())
			s.Digest = tt.digest
			c, err := get(t, s, Environment{Patience: hasty})
			switch {
			case tt.wantErr == "":
				if err != nil || !bytes.Equal(c.data, image) || c.stream.Verified() != tt.digest {
					t.Errorf("get = %d bytes, %v, want the image of %d bytes", len(c.data), err, len(image))
				}
			case err == nil || !strings.Contains(err.Error(), tt.wantErr) || strings.Contains(err.Error(), "secret"):
				t.Errorf("get = %d bytes, %v, want an error with %q", len(c.data), err, tt.wantErr)
			}
			for _, r := range server.Requests() {
				if got := r.Header.Get("Accept-Encoding"); got != "identity" {
					t.Errorf("Accept-Encoding = %q, want identity", got)
				}
			}
		})
	}
}

func TestCancel(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		network.Server("h", strong, fetchtest.Answer{Break: fetchtest.Silence, At: 5})
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := Open(ctx, source("http://h/image"), Environment{connect: network.Dial, Roots: t.TempDir()})
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		defer stream.Close()
		time.AfterFunc(time.Second, cancel)
		if _, err := io.ReadAll(stream); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "after 5 bytes") {
			t.Errorf("read = %v, want %v after 5 bytes", err, context.Canceled)
		}
	})
}

// TestSlowReader: a reader that takes longer than a server may is no reason to give the server up.
func TestSlowReader(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		server := network.Server("h", strong)
		stream, err := Open(t.Context(), source("http://h/image"), Environment{connect: network.Dial, Roots: t.TempDir()})
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		defer stream.Close()
		var data []byte
		for len(data) < len(image) {
			time.Sleep(2 * DefaultStall)
			block := make([]byte, 300_000)
			n, err := io.ReadFull(stream, block)
			if data = append(data, block[:n]...); err != nil && len(data) < len(image) {
				t.Fatalf("Read: %v", err)
			}
		}
		if n := len(server.Requests()); n != 1 || !bytes.Equal(data, image) {
			t.Errorf("%d requests, right data %v, want 1 request", n, bytes.Equal(data, image))
		}
	})
}
