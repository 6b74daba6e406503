package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
)

// pieceOfImage is such that the last piece is a short one.
const pieceOfImage = 50_000

// lanesOf is a source that is downloaded over n connections.
func lanesOf(n int, urls ...string) Source {
	s := source(urls...)
	s.Connections = n
	return s
}

// TestLaneFaults has each fault in the middle of a piece that another connection than the first reads.
func TestLaneFaults(t *testing.T) {
	const at = 3 * pieceOfImage
	middle := at + pieceOfImage/2
	gone := map[string]string{"Retry-After": "7"}
	for _, tt := range []struct {
		name   string
		answer fetchtest.Answer
		want   []byte
	}{
		{"none", fetchtest.Answer{}, image},
		{"reset", fetchtest.Answer{Break: fetchtest.Reset, At: middle}, image},
		{"reset at once", fetchtest.Answer{Break: fetchtest.Reset, At: at}, image},
		{"reset before the last byte", fetchtest.Answer{Break: fetchtest.Reset, At: at + pieceOfImage - 1}, image},
		{"silence", fetchtest.Answer{Break: fetchtest.Silence, At: middle}, image},
		{"silence at once", fetchtest.Answer{Break: fetchtest.Silence, At: at}, image},
		{"chunks", fetchtest.Answer{Break: fetchtest.EndOfChunks, At: middle}, image},
		{"end of connection", fetchtest.Answer{Break: fetchtest.EndOfConnection, At: middle}, image},
		{"refused", fetchtest.Answer{Refuse: true}, image},
		{"garbage", fetchtest.Answer{Raw: noise(5, 3000)}, image},
		{"503", fetchtest.Answer{Status: 503, Header: gone}, image},
		{"429", fetchtest.Answer{Status: 429, Header: gone}, image},
		{"403", fetchtest.Answer{Status: 403}, image},
		{"404", fetchtest.Answer{Status: 404}, image},
		{"416", fetchtest.Answer{Status: 416}, image},
		{"no ranges", fetchtest.Answer{NoRanges: true}, image},
		{"more than was asked for", fetchtest.Answer{Beyond: true}, image},
		{"another range", fetchtest.Answer{Header: map[string]string{"Content-Range": "bytes 5-6/7"}}, image},
		{"multipart", fetchtest.Answer{Header: map[string]string{"Content-Range": ""}}, image},
		{"another ETag", fetchtest.Answer{Header: map[string]string{"ETag": `"two"`}}, image},
		{"slow", fetchtest.Answer{Pause: 10 * time.Second}, image},
	} {
		for _, connections := range []int{2, 4, 8} {
			t.Run(fmt.Sprintf("%s, %d connections", tt.name, connections), func(t *testing.T) {
				in(t, func(t *testing.T, network *fetchtest.Network) {
					server := network.Server("h", strong, slowly(50)...)
					server.From = map[int]fetchtest.Answer{at: tt.answer}
					c, err := get(t, lanesOf(connections, "http://h/image"), Environment{connect: network.Dial, pieceSize: pieceOfImage, eager: true})
					if err != nil || !bytes.Equal(c.data, tt.want) || c.restarts != 0 {
						t.Errorf("get = %d bytes, %v, %d new beginnings, want %d bytes at once; %v", len(c.data), err, c.restarts, len(tt.want), c.all)
					}
					// The server may take a moment to see that the first connection was closed.
					if server.Busiest() < 2 || server.Busiest() > connections+1 {
						t.Errorf("%d requests at the same time, want up to %d", server.Busiest(), connections)
					}
					if len(server.From) > 0 {
						t.Error("nothing was asked for from where it goes wrong")
					}
				})
			})
		}
	}
}

// TestLanesChanged: bytes of two files are never put together.
func TestLanesChanged(t *testing.T) {
	for _, connections := range []int{2, 4, 8} {
		for _, piece := range []int{1, 3, 7, 20} {
			for name, file := range map[string]fetchtest.File{"same size": changed, "longer": longer} {
				t.Run(fmt.Sprintf("%s at piece %d, %d connections", name, piece, connections), func(t *testing.T) {
					in(t, func(t *testing.T, network *fetchtest.Network) {
						// The first answer ends, too, so that it cannot go on with the old file.
						server := network.Server("h", strong, fetchtest.Answer{Break: fetchtest.Reset, At: pieceOfImage * 3 / 2, Pause: 100 * time.Millisecond})
						server.From = map[int]fetchtest.Answer{piece * pieceOfImage: {File: &file}}
						c, err := get(t, lanesOf(connections, "http://h/image"), Environment{connect: network.Dial, pieceSize: pieceOfImage, eager: true})
						if err != nil || !bytes.Equal(c.data, file.Data) || c.restarts != 1 {
							t.Errorf("get = %d bytes, %v, %d new beginnings, want the new file after one; %v", len(c.data), err, c.restarts, c.all)
						}
					})
				})
			}
		}
	}
}

// TestLanesAlone: where several connections cannot be, one does it all, by one request.
func TestLanesAlone(t *testing.T) {
	for _, tt := range []struct {
		name   string
		file   fetchtest.File
		answer fetchtest.Answer
		piece  int64
	}{
		{"no ranges", strong, fetchtest.Answer{NoRanges: true}, pieceOfImage},
		{"no validator", bare, fetchtest.Answer{}, pieceOfImage},
		{"no length", strong, fetchtest.Answer{Header: map[string]string{"Content-Length": ""}}, pieceOfImage},
		{"a small file", strong, fetchtest.Answer{}, int64(len(image)) / 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := fetchtest.Always(t, tt.file, tt.answer)
			c, err := get(t, lanesOf(4, server.Image()), Environment{Patience: hasty, pieceSize: tt.piece + 1, eager: true})
			if n := len(server.Requests()); err != nil || !bytes.Equal(c.data, image) || n != 1 {
				t.Errorf("get = %d bytes, %v, by %d requests, want the image by 1", len(c.data), err, n)
			}
		})
	}
}

// TestLanesIgnored: a server that says that it serves ranges, and does not, serves the one connection.
func TestLanesIgnored(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		answers := slowly(50)
		for i := range answers {
			answers[i].NoRanges, answers[i].Header = true, map[string]string{"Accept-Ranges": "bytes"}
		}
		server := network.Server("h", strong, answers...)
		c, err := get(t, lanesOf(4, "http://h/image"), Environment{connect: network.Dial, pieceSize: pieceOfImage, eager: true})
		if n := len(server.Requests()); err != nil || !bytes.Equal(c.data, image) || c.kinds() != "Spread" || n > 1+2*4 {
			t.Errorf("get = %d bytes, %v, by %d requests, want the image, and that each lane tried once, with If-Range and without; %v", len(c.data), err, n, c.all)
		}
	})
}

// TestFewerLanes: a server that wants fewer connections gets fewer.
func TestFewerLanes(t *testing.T) {
	for _, most := range []int{1, 2, 3} {
		for _, connections := range []int{2, 4, 8} {
			t.Run(fmt.Sprintf("%d of %d", most, connections), func(t *testing.T) {
				in(t, func(t *testing.T, network *fetchtest.Network) {
					// A block takes a tenth of a second: 7.3 seconds by one connection.
					server := network.Server("h", strong, slowly(200)...)
					server.Most = most
					began := time.Now()
					c, err := get(t, lanesOf(connections, "http://h/image"), Environment{connect: network.Dial, pieceSize: pieceOfImage, eager: true})
					if err != nil || !bytes.Equal(c.data, image) || strings.Contains(c.kinds(), "Restarted") {
						t.Errorf("get = %d bytes, %v, want the image: %v", len(c.data), err, c.all)
					}
					if want := min(most, connections); server.Busiest() < want {
						t.Errorf("%d requests at the same time, want %d", server.Busiest(), want)
					}
					alone := 8 * time.Second
					if took := time.Since(began); took > alone+3*time.Second || most > 1 && took > alone {
						t.Errorf("took %v, want at most what one connection takes, %v: %v", took, alone, c.all)
					}
				})
			})
		}
	}
}

func slowly(n int) []fetchtest.Answer {
	answers := make([]fetchtest.Answer, n)
	for i := range answers {
		answers[i].Pause = 100 * time.Millisecond
	}
	return answers
}

// TestLanesFaster: where each connection is slow, several are faster.
func TestLanesFaster(t *testing.T) {
	took := map[int]time.Duration{}
	for _, connections := range []int{1, 4, 8} {
		in(t, func(t *testing.T, network *fetchtest.Network) {
			network.Server("h", strong, slowly(200)...)
			began := time.Now()
			c, err := get(t, lanesOf(connections, "http://h/image"), Environment{connect: network.Dial, pieceSize: pieceOfImage, eager: true})
			if err != nil || !bytes.Equal(c.data, image) {
				t.Fatalf("get = %d bytes, %v", len(c.data), err)
			}
			took[connections] = time.Since(began)
		})
	}
	if took[4] > took[1]*2/5 || took[8] > took[1]/5 {
		t.Errorf("took %v, want the more the shorter", took)
	}
}

// TestLanesMirror: the lanes go where the download goes.
func TestLanesMirror(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		answers := []fetchtest.Answer{{Break: fetchtest.Reset, At: pieceOfImage / 2}}
		for range 200 {
			answers = append(answers, fetchtest.Answer{Status: 404})
		}
		network.Server("first", strong, answers...)
		second := network.Server("second", strong, slowly(100)...)
		c, err := get(t, lanesOf(4, "http://first/image", "http://second/image"), Environment{connect: network.Dial, pieceSize: pieceOfImage, eager: true})
		if err != nil || !bytes.Equal(c.data, image) || c.kinds() != "Spread GaveUp TookOver Spread" || second.Busiest() < 2 {
			t.Errorf("get = %d bytes, %v, %d requests at the same time, %v, want the image by several of the second", len(c.data), err, second.Busiest(), c.all)
		}
	})
}

// TestLanesWrongDigest: what several connections brought is tried once more by one, before the image is refused.
func TestLanesWrongDigest(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		server := network.Server("h", strong, slowly(50)...)
		// A piece that is another one, behind the right validator.
		server.From = map[int]fetchtest.Answer{2 * pieceOfImage: {File: &fetchtest.File{Data: changed.Data, ETag: strong.ETag}}, 4 * pieceOfImage: {File: &strong}}
		s := lanesOf(4, "http://h/image")
		s.Digest = digestOf(image)
		c, err := get(t, s, Environment{connect: network.Dial, pieceSize: pieceOfImage, eager: true})
		if err != nil || !bytes.Equal(c.data, image) || c.restarts != 1 {
			t.Errorf("get = %d bytes, %v, %d new beginnings, want the image after one", len(c.data), err, c.restarts)
		}
	})
	in(t, func(t *testing.T, network *fetchtest.Network) {
		network.Server("h", changed)
		s := lanesOf(4, "http://h/image")
		s.Digest = digestOf(image)
		_, err := get(t, s, Environment{connect: network.Dial, pieceSize: pieceOfImage, eager: true})
		var digest *DigestError
		if !errors.As(err, &digest) {
			t.Errorf("get of another image = %v, want a DigestError", err)
		}
	})
}

// TestLanesLimits: the limits of the options are of all connections together.
func TestLanesLimits(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options Options
		least   time.Duration
		wantErr string
	}{
		{"rate", Options{LimitRate: 100_000}, 11 * time.Second, ""},
		{"time", Options{LimitRate: 100_000, MaxTime: 5 * time.Second}, 5 * time.Second, "than the 5s that it may take"},
		// Each connection brings 160 kB/s, or less: they are told when they have more than they give, not when one has.
		{"speed", Options{SpeedLimit: 200_000, SpeedTime: 2 * time.Second}, time.Second, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				network.Server("h", strong, slowly(300)...)
				s := lanesOf(4, "http://h/image")
				s.Options = tt.options
				began := time.Now()
				c, err := get(t, s, Environment{connect: network.Dial, pieceSize: pieceOfImage, eager: true})
				if took := time.Since(began); took < tt.least || took > tt.least+2*time.Second {
					t.Errorf("took %v, want %v", took, tt.least)
				}
				if tt.wantErr == "" {
					if err != nil || !bytes.Equal(c.data, image) || len(c.waits()) > 0 || c.kinds() != "Spread" {
						t.Errorf("get = %d bytes, %v, want the image; %v", len(c.data), err, c.all)
					}
				} else if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("get = %v, want an error with %q", err, tt.wantErr)
				}
			})
		})
	}
}

// TestLanesEnd: nothing is left of them, in whatever state they are. (The bubble fails if a goroutine is.)
func TestLanesEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(context.CancelFunc, *Stream)
	}{
		{"closed", func(_ context.CancelFunc, s *Stream) { s.Close() }},
		{"cancelled", func(cancel context.CancelFunc, s *Stream) { cancel() }},
	} {
		for _, after := range []time.Duration{0, 50 * time.Millisecond, time.Second, time.Hour} {
			t.Run(fmt.Sprintf("%s after %v", tt.name, after), func(t *testing.T) {
				in(t, func(t *testing.T, network *fetchtest.Network) {
					server := network.Server("h", strong, slowly(30)...)
					server.From = map[int]fetchtest.Answer{2 * pieceOfImage: {Break: fetchtest.Silence, At: 2*pieceOfImage + 5}, 3 * pieceOfImage: {Status: 503}}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					stream, err := Open(ctx, lanesOf(4, "http://h/image"), Environment{connect: network.Dial, pieceSize: pieceOfImage, eager: true, Roots: t.TempDir()})
					if err != nil {
						t.Fatal(err)
					}
					defer stream.Close()
					if _, err := io.ReadFull(stream, make([]byte, pieceOfImage/2)); err != nil {
						t.Fatal(err)
					}
					time.Sleep(after) // of the bubble's time; what is ahead fills its buffers
					tt.end(cancel, stream)
					began := time.Now()
					for block := make([]byte, 10_000); err == nil; {
						_, err = stream.Read(block)
					}
					if time.Since(began) > 0 || err == io.EOF {
						t.Errorf("Read = %v after %v, want an error at once", err, time.Since(began))
					}
				})
			})
		}
	}
}

// TestLanesNeeded: a connection that is fast enough stays alone.
func TestLanesNeeded(t *testing.T) {
	large := fetchtest.File{Data: bytes.Repeat(image, 6), ETag: `"large"`}
	for _, tt := range []struct {
		name    string
		answers []fetchtest.Answer
		several bool
	}{
		{"fast", nil, false},
		{"slow", slowly(500), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				server := network.Server("h", large, tt.answers...)
				c, err := get(t, lanesOf(4, "http://h/image"), Environment{connect: network.Dial, pieceSize: pieceOfImage})
				if err != nil || !bytes.Equal(c.data, large.Data) || (server.Busiest() > 1) != tt.several {
					t.Errorf("get = %d bytes, %v, %d requests at the same time, want several: %v", len(c.data), err, server.Busiest(), tt.several)
				}
			})
		})
	}
}

// TestLanesLeast: who shares the work shares what it must bring; who is left alone brings all.
func TestLanesLeast(t *testing.T) {
	for _, tt := range []struct {
		name    string
		willing int
		own     bool
		want    int64
	}{
		{"all are at work", 4, false, 25},
		{"one has made way for the download's own", 4, true, 25},
		{"two rest", 2, false, 50},
		{"two rest, and the download's own is at work", 2, true, 34},
		{"all but the download's own are gone", 0, true, 100},
		{"all are gone", 0, false, 100},
	} {
		l := &lanes{count: 4, options: Options{SpeedLimit: 100}, willing: tt.willing}
		l.changed = sync.NewCond(&l.mutex)
		var own *connection
		if tt.own {
			own = &connection{}
		}
		if l.share(own); l.least() != tt.want {
			t.Errorf("%s: least() = %d, want %d", tt.name, l.least(), tt.want)
		}
	}
}

// TestLanesGone: a server that lets only one connection in, which brings 160 kB/s, is held to the whole limit of the speed.
func TestLanesGone(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		answers := slowly(50)
		for i := range answers {
			answers[i].NoRanges, answers[i].Header = true, map[string]string{"Accept-Ranges": "bytes"}
		}
		network.Server("h", strong, answers...)
		s := lanesOf(4, "http://h/image")
		s.SpeedLimit, s.SpeedTime = 400_000, 2*time.Second
		c, err := get(t, s, Environment{connect: network.Dial, pieceSize: pieceOfImage, eager: true, Patience: hasty})
		if len(c.waits()) == 0 && !strings.Contains(c.kinds(), "Repeating") {
			t.Errorf("get = %d bytes, %v, and nobody complained of the speed: %v", len(c.data), err, c.all)
		}
	})
}

func TestMemory(t *testing.T) {
	for connections, want := range map[int]int64{0: 0, 1: 0, 2: 16 << 20, 8: 64 << 20, 9: 64 << 20} {
		if got := (Source{Connections: connections}).Memory(); got != want {
			t.Errorf("Memory of %d connections = %d, want %d", connections, got, want)
		}
	}
}
