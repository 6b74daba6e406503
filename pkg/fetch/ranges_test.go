package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
)

// openRanges opens a source in a network in memory.
func openRanges(t *testing.T, network *fetchtest.Network, s Source, c *events) (*Ranges, error) {
	t.Helper()
	r, err := OpenRanges(t.Context(), s, Environment{connect: network.Dial, Report: c.report, Roots: t.TempDir(), Decompress: gunzip})
	if err == nil {
		t.Cleanup(func() { r.Close() })
	}
	return r, err
}

// checkRead reads a range, and compares it.
func checkRead(t *testing.T, r *Ranges, data []byte, offset, length int) {
	t.Helper()
	p := make([]byte, length)
	n, err := r.ReadAt(p, int64(offset))
	want := data[min(offset, len(data)):min(offset+length, len(data))]
	if !bytes.Equal(p[:n], want) || err != nil && (err != io.EOF || len(want) == length) {
		t.Errorf("ReadAt(%d bytes, %d) = %d, %v, want %d of the image", length, offset, n, err, len(want))
	}
}

func TestRanges(t *testing.T) {
	for _, tt := range []struct {
		name string
		file fetchtest.File
	}{{"ETag", strong}, {"Last-Modified", dated}} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				server := network.Server("h", tt.file)
				var c events
				r, err := openRanges(t, network, source("http://h/image"), &c)
				if err != nil || r.Size != int64(len(image)) || r.URL != "http://h/image" {
					t.Fatalf("OpenRanges = %v, %v", r, err)
				}
				if n := len(server.Requests()); n != 1 || r.Received() != openSize {
					t.Errorf("opened with %d requests, %d bytes, want 1, %d", n, r.Received(), openSize)
				}
				for _, in := range [][2]int{
					{0, 1}, {0, openSize}, {1, openSize}, {openSize, 1}, {500_000, 300_000}, {len(image) - 1, 1}, {len(image) - 1, 2}, {len(image), 1},
					{len(image) + 5, 1}, {0, len(image)}, {0, len(image) + 1}, {5, 0}, {len(image) - 100_000, 100_000},
				} {
					checkRead(t, r, image, in[0], in[1])
				}
				if n, err := r.ReadAt(make([]byte, 1), -1); n != 0 || err == nil || err == io.EOF {
					t.Errorf("ReadAt before the beginning = %d, %v, want an error", n, err)
				}
				if len(c.all) > 0 {
					t.Errorf("events %v, want none", c.all)
				}
			})
		})
	}
}

// TestRangeFaults has each fault at the beginning of a range, in its middle, and one byte before its end.
func TestRangeFaults(t *testing.T) {
	const first, length = 300_001, 200_000
	later := map[string]string{"Retry-After": "7"}
	for _, at := range []int{first, first + 1, first + length/2, first + length - 1} {
		for _, tt := range []struct {
			name   string
			answer fetchtest.Answer
			want   string // events
		}{
			{"none", fetchtest.Answer{}, ""},
			{"reset", fetchtest.Answer{Break: fetchtest.Reset, At: at}, "Resumed"},
			{"silence", fetchtest.Answer{Break: fetchtest.Silence, At: at}, "Resumed"},
			{"chunks", fetchtest.Answer{Break: fetchtest.EndOfChunks, At: at}, "Resumed"},
			{"end of connection", fetchtest.Answer{Break: fetchtest.EndOfConnection, At: at}, "Resumed"},
			{"refused", fetchtest.Answer{Refuse: true}, ""}, // as if a connection had been idle for too long
			{"garbage", fetchtest.Answer{Raw: noise(5, 3000)}, "Resumed"},
			{"500", fetchtest.Answer{Status: 500}, "Resumed"},
			{"503", fetchtest.Answer{Status: 503, Header: later}, "Resumed"},
			{"429", fetchtest.Answer{Status: 429, Header: later}, "Resumed"},
			{"206 without a file", fetchtest.Answer{Status: 206}, "Resumed"},
			{"416", fetchtest.Answer{Status: 416}, "Resumed"},
			{"no ranges", fetchtest.Answer{NoRanges: true}, ""}, // as if it could not compare
			{"a page", fetchtest.Answer{Raw: []byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsorry")}, "Resumed"},
			{"more than was asked for", fetchtest.Answer{Beyond: true}, ""},
			{"another range", fetchtest.Answer{Header: map[string]string{"Content-Range": "bytes 5-6/7"}}, "Resumed"},
			{"no range", fetchtest.Answer{Header: map[string]string{"Content-Range": ""}}, "Resumed"},
			{"a shorter body", fetchtest.Answer{Header: map[string]string{"Content-Range": fmt.Sprintf("bytes %d-%d/%d", first, at+5, len(image))}}, "Resumed"},
			{"slow", fetchtest.Answer{Pause: 10 * time.Second}, ""},
			{"chunks that end too early", fetchtest.Answer{Raw: chunked(first, first+length-1, at)}, "Resumed"},
		} {
			t.Run(fmt.Sprintf("%s at %d", tt.name, at-first), func(t *testing.T) {
				in(t, func(t *testing.T, network *fetchtest.Network) {
					server := network.Server("h", strong)
					server.From = map[int]fetchtest.Answer{first: tt.answer}
					var c events
					r, err := openRanges(t, network, source("http://h/image"), &c)
					if err != nil {
						t.Fatal(err)
					}
					checkRead(t, r, image, first, length)
					if got := c.kinds(); got != tt.want {
						t.Errorf("events %v, want %s", c.all, tt.want)
					}
					if len(server.From) > 0 {
						t.Error("nothing was asked for from where it goes wrong")
					}
					// What arrived is not asked for again.
					if cut := tt.answer.Break; (cut == fetchtest.Reset || cut == fetchtest.Silence || cut == fetchtest.EndOfChunks) && r.Received() != openSize+length {
						t.Errorf("%d bytes travelled, want %d", r.Received(), openSize+length)
					}
				})
			})
		}
	}
}

// chunked is an answer that announces a range, and brings what comes before a byte of the image, as if that were all.
func chunked(first, last, end int) []byte {
	b := fmt.Appendf(nil, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %d-%d/%d\r\nETag: %s\r\nTransfer-Encoding: chunked\r\n\r\n",
		first, last, len(image), strong.ETag)
	if end > first {
		b = append(fmt.Appendf(b, "%x\r\n", end-first), image[first:end]...)
		b = append(b, "\r\n"...)
	}
	return append(b, "0\r\n\r\n"...)
}

// TestShortRanges: a server may send less of a range than it was asked for. That is no fault.
func TestShortRanges(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		server := network.Server("h", strong)
		part := image[300_000:300_100]
		server.From = map[int]fetchtest.Answer{300_000: {Raw: append(fmt.Appendf(nil,
			"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 300000-300099/%d\r\nETag: %s\r\nContent-Length: 100\r\n\r\n", len(image), strong.ETag), part...)}}
		var c events
		r, err := openRanges(t, network, source("http://h/image"), &c)
		if err != nil {
			t.Fatal(err)
		}
		checkRead(t, r, image, 300_000, 5000)
		if n := len(server.Requests()); len(c.all) > 0 || n != 3 {
			t.Errorf("events %v, %d requests, want none, 3", c.all, n)
		}
	})
}

// TestNoRanges: what cannot be read by parts is told from what cannot be had.
func TestNoRanges(t *testing.T) {
	packed := gzipped(t, image)
	for _, tt := range []struct {
		name    string
		url     string
		file    fetchtest.File
		answer  fetchtest.Answer
		want    string
		another bool // error than NoRangesError
	}{
		{"no ranges", "http://h/image", strong, fetchtest.Answer{NoRanges: true}, "the whole of it only", false},
		{"no ranges, and says so", "http://h/image", strong, fetchtest.Answer{NoRanges: true, Header: map[string]string{"Accept-Ranges": "bytes"}}, "the whole of it only", false},
		{"no validator", "http://h/image", bare, fetchtest.Answer{}, "neither a strong ETag", false},
		{"weak validator", "http://h/image", fetchtest.File{Data: image, ETag: `W/"one"`}, fetchtest.Answer{}, "neither a strong ETag", false},
		{"no total", "http://h/image", strong, fetchtest.Answer{Header: map[string]string{"Content-Range": "bytes 0-65535/*"}}, "Content-Range", false},
		{"compressed", "http://h/image", fetchtest.File{Data: packed, ETag: `"gz"`}, fetchtest.Answer{}, "compressed with gzip", false},
		{"tftp", "tftp://h/image", strong, fetchtest.Answer{}, "the protocol tftp", false},
		{"not there", "http://h/image", strong, fetchtest.Answer{Status: 404}, "404", true},
		{"nobody", "http://nobody/image", strong, fetchtest.Answer{}, "no such host", true},
		{"encoded", "http://h/image", strong, fetchtest.Answer{Header: map[string]string{"Content-Encoding": "gzip"}}, "Content-Encoding", true},
		{"another protocol", "gopher://h/image", strong, fetchtest.Answer{}, "gopher", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				answers := make([]fetchtest.Answer, 100)
				for i := range answers {
					answers[i] = tt.answer
				}
				network.Server("h", tt.file, answers...)
				_, err := openRanges(t, network, source(tt.url), &events{})
				var none *NoRangesError
				var all *SourceError
				if err == nil || !strings.Contains(err.Error(), tt.want) || errors.As(err, &none) == tt.another || errors.As(err, &all) != tt.another {
					t.Errorf("OpenRanges = %v, want an error with %q", err, tt.want)
				}
			})
		})
	}
}

// TestRangesEmpty: an empty file has no range.
func TestRangesEmpty(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		network.Server("h", fetchtest.File{ETag: `"empty"`})
		_, err := openRanges(t, network, source("http://h/image"), &events{})
		var none *NoRangesError
		if !errors.As(err, &none) {
			t.Errorf("OpenRanges of an empty file = %v, want a NoRangesError", err)
		}
	})
}

// TestRangesChanged: when the file is another one all reads fail, for ever, and those of what is known already, too.
func TestRangesChanged(t *testing.T) {
	shorter := fetchtest.File{Data: noise(4, 400_000), ETag: `"four"`}
	for _, tt := range []struct {
		name string
		was  fetchtest.File
		a    fetchtest.Answer
	}{
		{"same size", strong, fetchtest.Answer{File: &changed}},
		{"longer", strong, fetchtest.Answer{File: &longer}},
		{"shorter", strong, fetchtest.Answer{File: &shorter}},
		{"date", dated, fetchtest.Answer{File: &fetchtest.File{Data: changed.Data, Modified: dated.Modified.Add(time.Hour)}}},
		{"If-Range ignored", strong, fetchtest.Answer{Header: map[string]string{"ETag": `"two"`}}},
		{"shorter, If-Range ignored", strong, fetchtest.Answer{File: &shorter, Status: 416}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				server := network.Server("h", tt.was)
				server.From = map[int]fetchtest.Answer{500_000: tt.a}
				r, err := openRanges(t, network, source("http://h/image"), &events{})
				if err != nil {
					t.Fatal(err)
				}
				checkRead(t, r, image, 400_000, 50_000)
				for _, offset := range []int64{500_000, 400_000, 0} {
					n, err := r.ReadAt(make([]byte, 10), offset)
					var changed *ChangedError
					if n != 0 || !errors.As(err, &changed) || !strings.Contains(err.Error(), "http://h/image") {
						t.Errorf("ReadAt(%d) of a changed file = %d, %v, want a ChangedError", offset, n, err)
					}
				}
			})
		})
	}
}

// TestRangesNeverWrong: whatever goes wrong, for several readers at once, what is read is of the file that was there first, or there is an
// error.
func TestRangesNeverWrong(t *testing.T) {
	files := []fetchtest.File{strong, dated, changed, longer, {Data: noise(9, 300_000), ETag: `"short"`}}
	var right, wrong int
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 7))
		in(t, func(t *testing.T, network *fetchtest.Network) {
			var answers []fetchtest.Answer
			for range random.IntN(20) {
				a := randomAnswer(random)
				a.Pause = time.Duration(random.IntN(20)) * time.Millisecond
				if random.IntN(20) == 0 {
					a.File = &files[random.IntN(len(files))]
				}
				answers = append(answers, a)
			}
			file := files[random.IntN(2)]
			first := network.Server("h", file, append(make([]fetchtest.Answer, 1+random.IntN(3)), answers...)...)
			first.Most = random.IntN(5)
			network.Server("g", files[random.IntN(len(files))], randomAnswer(random), randomAnswer(random))
			s := source("http://h/image", "http://g/image")
			s.Connections, s.MaxTime = 1+random.IntN(8), time.Hour
			r, err := openRanges(t, network, s, &events{})
			if err != nil {
				t.Fatalf("seed %d: OpenRanges = %v", seed, err)
			}
			var mutex sync.Mutex
			var group sync.WaitGroup
			for range 1 + random.IntN(6) {
				random := rand.New(rand.NewPCG(random.Uint64(), 0))
				group.Go(func() {
					for range 4 {
						p := make([]byte, 1+random.IntN(200_000))
						offset := random.IntN(len(image))
						n, err := r.ReadAt(p, int64(offset))
						end := min(offset+len(p), len(image))
						mutex.Lock()
						if err == nil || err == io.EOF {
							right++
							if offset+n != end || n < len(p) && err == nil {
								t.Errorf("seed %d: ReadAt(%d bytes, %d) = %d, %v", seed, len(p), offset, n, err)
							}
						} else {
							wrong++
						}
						if !bytes.Equal(p[:n], image[offset:offset+n]) {
							t.Errorf("seed %d: ReadAt(%d bytes, %d) = %d bytes that are not the image's, %v", seed, len(p), offset, n, err)
						}
						var endless *MaxTimeError
						if errors.As(err, &endless) {
							t.Errorf("seed %d: the read found no end: %v", seed, err)
						}
						mutex.Unlock()
					}
				})
			}
			group.Wait()
		})
	}
	if right < 1000 || wrong < 500 {
		t.Errorf("%d reads were right, %d went wrong, want many of both", right, wrong)
	}
}
