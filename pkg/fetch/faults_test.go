package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
)

// TestFaults has each fault at the beginning, in the middle, and one byte before the end.
func TestFaults(t *testing.T) {
	known := digestOf(image)
	breaks := map[string]fetchtest.Break{"reset": fetchtest.Reset, "silence": fetchtest.Silence}
	for _, at := range []int{0, 1, len(image) / 2, len(image) - 1} {
		for name, b := range breaks {
			broken := fetchtest.Answer{Break: b, At: at}
			later := func(a ...fetchtest.Answer) []fetchtest.Answer { return append([]fetchtest.Answer{broken}, a...) }
			whole := fetchtest.Answer{NoRanges: true}
			for _, tt := range []struct {
				name    string
				file    fetchtest.File
				digest  Digest
				answers []fetchtest.Answer
				want    string // events, where the break is not at 0
			}{
				{"ETag", strong, Digest{}, []fetchtest.Answer{broken}, "Resumed"},
				{"Last-Modified", dated, Digest{}, []fetchtest.Answer{broken}, "Resumed"},
				{"digest only", bare, known, []fetchtest.Answer{broken}, "Resumed"},
				{"no validator", bare, Digest{}, []fetchtest.Answer{broken}, "Restarted"},
				{"weak validator", fetchtest.File{Data: image, ETag: `W/"one"`}, Digest{}, []fetchtest.Answer{broken}, "Restarted"},
				{"refused then", strong, Digest{}, later(fetchtest.Answer{Refuse: true}), "Resumed"},
				{"503 then", strong, Digest{}, later(fetchtest.Answer{Status: 503, Header: map[string]string{"Retry-After": "7"}}), "Resumed"},
				{"garbage then", strong, Digest{}, later(fetchtest.Answer{Raw: noise(5, 3000)}), "Resumed"},
				{"no ranges", strong, Digest{}, later(whole, whole), "Repeating"},
				{"no ranges once", strong, Digest{}, later(whole), "Resumed"},
				{"no ranges, digest only", bare, known, later(whole), "Repeating"},
				{"wrong Content-Range", strong, Digest{}, later(fetchtest.Answer{Header: map[string]string{"Content-Range": "bytes 5-6/7"}}), "Repeating"},
				{"416", strong, Digest{}, later(fetchtest.Answer{Status: 416}), "Repeating"},
				{"multipart", strong, Digest{}, later(fetchtest.Answer{Header: map[string]string{"Content-Range": ""}}), "Repeating"},
				{"changed", strong, Digest{}, later(fetchtest.Answer{File: &changed}), "Restarted"},
				{"changed, longer", strong, Digest{}, later(fetchtest.Answer{File: &longer}), "Restarted"},
				{"changed, If-Range ignored", strong, Digest{}, later(fetchtest.Answer{Header: map[string]string{"ETag": `"two"`}}), "Restarted"},
			} {
				if at == 0 && tt.name == "416" {
					continue // no range was asked for
				}
				t.Run(fmt.Sprintf("%s at %d, %s", name, at, tt.name), func(t *testing.T) {
					in(t, func(t *testing.T, network *fetchtest.Network) {
						server := network.Server("h", tt.file, tt.answers...)
						s := source("http://h/image")
						s.Digest = tt.digest
						c, err := get(t, s, Environment{connect: network.Dial})
						want := server.File().Data
						if err != nil || !bytes.Equal(c.data, want) {
							t.Fatalf("get = %d bytes, %v, want the file of %d bytes; %v", len(c.data), err, len(want), c.all)
						}
						kinds := tt.want
						if at == 0 {
							kinds = ""
						}
						if got := c.kinds(); got != kinds {
							t.Errorf("events %v, want %s and retries", c.all, kinds)
						}
						if restarts := strings.Count(kinds, "Restarted"); c.restarts != restarts {
							t.Errorf("told of %d new beginnings, want %d", c.restarts, restarts)
						}
					})
				})
			}
		}
	}
}

// TestNeverWrong: whatever goes wrong, what was read is a whole file of the server, or there is an error.
func TestNeverWrong(t *testing.T) {
	for _, connections := range []int{1, 2, 4, 8} {
		t.Run(fmt.Sprintf("%d connections", connections), func(t *testing.T) { neverWrong(t, connections) })
	}
}

func neverWrong(t *testing.T, connections int) {
	files := []fetchtest.File{strong, dated, bare, changed, longer, {Data: noise(9, 3), ETag: `"short"`}}
	var whole, helped int
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		in(t, func(t *testing.T, network *fetchtest.Network) {
			served := []fetchtest.File{files[random.IntN(len(files))]}
			var answers []fetchtest.Answer
			for range random.IntN(8) + 2*connections - 2 {
				a := randomAnswer(random)
				if connections > 1 {
					a.Pause = time.Duration(random.IntN(20)) * time.Millisecond
				}
				if random.IntN(4*connections) == 0 {
					f := files[random.IntN(len(files))]
					a.File = &f
					served = append(served, f)
				}
				answers = append(answers, a)
			}
			first := network.Server("h", served[0], answers...)
			first.Most = random.IntN(5)
			network.Server("g", served[random.IntN(len(served))], randomAnswer(random))
			s := source("http://h/image", "http://g/image")
			s.Connections, s.MaxTime = connections, 6*time.Hour
			if random.IntN(2) == 0 {
				s.Digest = digestOf(image)
			}
			c, err := get(t, s, Environment{connect: network.Dial, pieceSize: 1 + random.Int64N(int64(len(image))/8), eager: true})
			if first.Busiest() > 1 {
				helped++
			}
			var endless *MaxTimeError
			if errors.As(err, &endless) {
				t.Errorf("seed %d: the download found no end; its last steps: %v", seed, c.all[max(0, len(c.all)-10):])
			}
			if err != nil {
				return
			}
			for _, f := range served {
				if bytes.Equal(c.data, f.Data) && (s.Digest == Digest{} || digestOf(c.data) == s.Digest) {
					whole++
					return
				}
			}
			t.Errorf("seed %d: got %d bytes that are no file of the servers, and no error: %v", seed, len(c.data), c.all)
		})
	}
	if whole < 100 {
		t.Errorf("%d of 200 downloads came to a good end, want most of them: nothing was tried", whole)
	}
	if connections > 1 && helped < 30 {
		t.Errorf("%d of 200 downloads had more than one connection at a time: nothing was tried", helped)
	}
}

func randomAnswer(random *rand.Rand) fetchtest.Answer {
	a := fetchtest.Answer{
		Break:    fetchtest.Break(random.IntN(5)),
		At:       []int{0, 1, 2, 3, len(image) / 2, len(image) - 1, random.IntN(len(image))}[random.IntN(7)],
		NoRanges: random.IntN(3) == 0,
		Beyond:   random.IntN(3) == 0,
	}
	switch random.IntN(8) {
	case 0:
		a.Refuse = true
	case 1:
		a.Raw = noise(random.Uint64(), random.IntN(2000))
	case 2:
		a.Status = []int{404, 408, 416, 429, 500, 502, 503, 206, 304}[random.IntN(9)]
	case 3:
		a.Header = map[string]string{"Content-Range": []string{"", "bytes 0-0/1", "bytes 1-2/*", "bytes */3", "x"}[random.IntN(5)]}
	}
	return a
}
