package fetch

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/fetch/decompress"
	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
	"github.com/liveboot/liveboot/pkg/fetch/wire"
	"github.com/liveboot/liveboot/pkg/needs"
)

// gunzip decompresses what looks like gzip.
func gunzip(r io.Reader, _ string) (io.Reader, string, error) {
	buffered := bufio.NewReader(r)
	if magic, err := buffered.Peek(2); err != nil || magic[0] != 0x1f || magic[1] != 0x8b {
		return buffered, "", nil
	}
	z, err := gzip.NewReader(buffered)
	return z, "gzip", err
}

// ahead decompresses in a goroutine of its own, which reads for as long as there is something to read.
func ahead(r io.Reader, name string) (io.Reader, string, error) {
	z, kind, err := gunzip(r, name)
	if err != nil || kind == "" {
		return z, kind, err
	}
	out, in := io.Pipe()
	go func() {
		_, err := io.Copy(in, z)
		in.CloseWithError(err)
	}()
	return out, kind, nil
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDecompress(t *testing.T) {
	packed := gzipped(t, image)
	other := gzipped(t, changed.Data)
	file := fetchtest.File{Data: packed, ETag: `"one"`}
	half := fetchtest.Answer{Break: fetchtest.Reset, At: len(packed) / 2}
	damaged := bytes.Clone(packed)
	damaged[len(damaged)/2] ^= 1
	for name, decompress := range map[string]func(io.Reader, string) (io.Reader, string, error){"in place": gunzip, "ahead": ahead} {
		for _, tt := range []struct {
			name     string
			file     fetchtest.File
			answers  []fetchtest.Answer
			digest   Digest
			want     []byte
			restarts int
			wantErr  string
		}{
			{"whole", file, nil, digestOf(packed), image, 0, ""},
			{"not compressed", strong, nil, Digest{}, image, 0, ""},
			{"resumed", file, []fetchtest.Answer{half}, digestOf(packed), image, 0, ""},
			{"cut in the first bytes", file, []fetchtest.Answer{{Break: fetchtest.Reset, At: 1}}, Digest{}, image, 0, ""},
			{"changed", file, []fetchtest.Answer{half, {File: &fetchtest.File{Data: other, ETag: `"two"`}}}, Digest{}, changed.Data, 1, ""},
			{"changed, not compressed any more", file, []fetchtest.Answer{half, {File: &changed}}, Digest{}, changed.Data, 1, ""},
			{"wrong digest", file, nil, digestOf(image), nil, 0, "is not the expected one"},
			{"truncated", fetchtest.File{Data: packed[:len(packed)-1]}, nil, Digest{}, nil, 0, "decompress the image after"},
			{"damaged", fetchtest.File{Data: damaged}, nil, Digest{}, nil, 0, "decompress the image after"},
			{"truncated header", fetchtest.File{Data: packed[:5]}, nil, Digest{}, nil, 0, "decompress the image after 5 bytes"},
			{"not there any more", file, []fetchtest.Answer{half, {Status: 404}}, Digest{}, nil, 0, "404"},
		} {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				in(t, func(t *testing.T, network *fetchtest.Network) {
					network.Server("h", tt.file, tt.answers...)
					s := source("http://h/image")
					s.Digest = tt.digest
					c, err := get(t, s, Environment{connect: network.Dial, Decompress: decompress})
					if tt.wantErr != "" {
						if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
							t.Errorf("get = %v, want an error with %q", err, tt.wantErr)
						}
						return
					}
					if err != nil || !bytes.Equal(c.data, tt.want) || c.restarts != tt.restarts {
						t.Fatalf("get = %d bytes, %v, %d new beginnings, want %d bytes, %d", len(c.data), err, c.restarts, len(tt.want), tt.restarts)
					}
					compressed := !strings.Contains(tt.name, "not compressed")
					if (c.stream.Size == -1) != compressed || (c.stream.Compression == "gzip") != compressed {
						t.Errorf("size %d, compression %q, want -1 and gzip: %v", c.stream.Size, c.stream.Compression, compressed)
					}
					if n, size := c.stream.Received(); n != size || n == 0 {
						t.Errorf("received %d of %d bytes", n, size)
					}
				})
			})
		}
	}
}

// TestTrailingBytes: what a decompressor leaves unread is a part of the image as it travels.
func TestTrailingBytes(t *testing.T) {
	packed := gzipped(t, image)
	first := func(r io.Reader, _ string) (io.Reader, string, error) {
		z, err := gzip.NewReader(bufio.NewReaderSize(r, 16))
		if err == nil {
			z.Multistream(false)
		}
		return z, "gzip", err
	}
	for _, tt := range []struct {
		name string
		cut  int
		want bool
	}{
		{"there", -1, true},
		{"cut for ever", len(packed) + 50_000, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				answers := []fetchtest.Answer{{}}
				if tt.cut > 0 {
					answers = []fetchtest.Answer{{Break: fetchtest.Reset, At: tt.cut}, {Status: 404}}
				}
				network.Server("h", fetchtest.File{Data: append(bytes.Clone(packed), make([]byte, 100_000)...), ETag: `"x"`}, answers...)
				c, err := get(t, source("http://h/image"), Environment{connect: network.Dial, Decompress: first})
				if (err == nil) != tt.want || tt.want && !bytes.Equal(c.data, image) {
					t.Errorf("get = %d bytes, %v, want success %v", len(c.data), err, tt.want)
				}
			})
		})
	}
}

// TestCloseEarly: whatever is under way ends.
func TestCloseEarly(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		packed := gzipped(t, image)
		network.Server("h", fetchtest.File{Data: packed, ETag: `"one"`}, fetchtest.Answer{Break: fetchtest.Silence, At: len(packed) / 2})
		s := source("http://h/image")
		s.Digest = digestOf(packed)
		stream, err := Open(t.Context(), s, Environment{connect: network.Dial, Decompress: ahead, Roots: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(stream, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		if err := stream.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		if _, err := stream.Read(make([]byte, 1)); err == nil {
			t.Error("Read after Close: no error")
		}
	})
}

// A repeating is a file of a protocol with neither offsets nor validators, which is another file from time to time.
type repeating struct{ versions [][]byte }

func (r *repeating) Open(context.Context, wire.Position) (*wire.Body, error) {
	v := r.versions[0]
	if len(r.versions) > 1 {
		r.versions = r.versions[1:]
	}
	return &wire.Body{ReadCloser: io.NopCloser(io.MultiReader(bytes.NewReader(v), broken{})), Size: int64(len(image))}, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("broken") }

// TestRepeats: such a protocol begins anew, and its bytes are compared with those that were given.
func TestRepeats(t *testing.T) {
	half := image[:len(image)/2]
	for _, tt := range []struct {
		name     string
		versions [][]byte
		digest   Digest
		want     []byte
		events   string
	}{
		{"the same", [][]byte{half, image[:100], half, image}, Digest{}, image, "Repeating Repeating Repeating"},
		{"another", [][]byte{half, changed.Data}, Digest{}, changed.Data, "Repeating Restarted"},
		{"another, digest known", [][]byte{changed.Data[:100], image, image}, digestOf(image), image, "Repeating Restarted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				network.Server("h", strong)
				s := source("http://h/x")
				s.Digest = tt.digest
				c := &copied{}
				e := Environment{connect: network.Dial, Report: c.report, Stall: DefaultStall, Patience: Patience{}.withDefaults(), Roots: t.TempDir()}
				s.Options = s.Options.withDefaults(e)
				d, err := newDownload(t.Context(), s, e)
				if err != nil {
					t.Fatal(err)
				}
				defer d.close()
				d.mirrors[0].file, d.mirrors[0].scheme.repeats = &repeating{tt.versions}, true
				if err := c.readAll(d); err != nil || !bytes.Equal(c.data, tt.want) {
					t.Errorf("get = %d bytes, %v, want %d", len(c.data), err, len(tt.want))
				}
				if c.kinds() != tt.events {
					t.Errorf("events %v, want %s", c.all, tt.events)
				}
			})
		})
	}
}

func TestHasher(t *testing.T) {
	const blockSize = 2*hashPart + 1
	for _, alone := range []bool{false, true} {
		for _, size := range []int{0, 1, hashPart - 1, hashPart, hashPart + 1, blockSize, 10*hashPart + 7, (hashParts + 8) * hashPart} {
			h := newHasher("sha256", Environment{})
			h.alone = alone
			data := noise(1, size)
			for done := 0; done < size; {
				end := min(size, done+1+(size-done)/3)
				if done%2 == 0 {
					h.write(data[done:end])
					done = end
				}
				for done < end {
					block := make([]byte, blockSize)
					n := copy(block, data[done:end])
					h.lend(block, 0, n/3)
					h.lend(block, n/3, n)
					done += n
					if done%3 != 0 {
						h.settle(block)
						clear(block)
					}
				}
				if want := digestOf(data[:done]).Hex; hex.EncodeToString(h.sum()) != want {
					t.Fatalf("alone %v: sum after %d of %d bytes is not %s", alone, done, size, want)
				}
			}
			if got := hex.EncodeToString(h.sum()); got != digestOf(data).Hex {
				t.Errorf("alone %v: sum of %d bytes = %s", alone, size, got)
			}
			h.stop()
		}
	}
	var none *hasher
	none.write([]byte("x"))
	none.lend([]byte("x"), 0, 1)
	none.settle([]byte("x"))
	none.stop()
	if err := none.check(Digest{}); err != nil {
		t.Errorf("check without a digest = %v", err)
	}
}

// TestLend reads into blocks that are overwritten as soon as they are settled, whether or not somebody looks whether the image is compressed.
func TestLend(t *testing.T) {
	unpack := func(r io.Reader, _ string) (io.Reader, string, error) {
		d, err := decompress.New(r, decompress.Options{})
		return d, "", err
	}
	greedy := func(r io.Reader, _ string) (io.Reader, string, error) {
		head := make([]byte, headSize+1)
		n, err := io.ReadFull(r, head)
		if err == io.ErrUnexpectedEOF {
			err = nil
		}
		return io.MultiReader(bytes.NewReader(head[:n]), r), "", err
	}
	long := noise(7, 3<<20)
	for _, tt := range []struct {
		name       string
		decompress func(io.Reader, string) (io.Reader, string, error)
	}{{"plain", nil}, {"looked at", unpack}, {"looked at for too long", greedy}} {
		t.Run(tt.name, func(t *testing.T) {
			server := fetchtest.New(t, fetchtest.File{Data: long, ETag: `"one"`}, fetchtest.Answer{Break: fetchtest.Reset, At: len(long) / 2})
			s := source(server.Image())
			s.Digest = digestOf(long)
			stream, err := Open(t.Context(), s, Environment{Patience: hasty, Decompress: tt.decompress})
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			var got []byte
			blocks := [2][]byte{make([]byte, 300_000), make([]byte, 300_000)}
			for i := 0; err == nil; i++ {
				block, n := blocks[i%2], 0
				stream.Settle(block)
				clear(block)
				for err == nil && n < len(block) {
					var m int
					m, err = stream.Lend(block, n)
					n += m
				}
				got = append(got, block[:n]...)
			}
			if err != io.EOF || !bytes.Equal(got, long) {
				t.Errorf("Lend gave %d bytes and %v, want %d", len(got), err, len(long))
			}
		})
	}
}

// TestRealDecompressor is the decompressor that a boot uses, which works ahead in parallel, over connections that break and a file that
// changes.
func TestRealDecompressor(t *testing.T) {
	unpack := func(r io.Reader, _ string) (io.Reader, string, error) {
		d, err := decompress.New(r, decompress.Options{Workers: 4})
		if err != nil {
			return nil, "", err
		}
		return d, d.Format(), nil
	}
	debian := map[string]string{"xz": "xz-utils", "gzip": "gzip", "zstd": "zstd", "bzip2": "bzip2"}
	for _, program := range [][]string{{"xz", "-0", "--block-size=100000"}, {"gzip", "-1"}, {"zstd", "-1"}, {"bzip2", "-1"}} {
		path := needs.Program(t, program[0], debian[program[0]])
		pack := func(data []byte) []byte {
			command := exec.Command(path, append(program[1:], "-c")...)
			command.Stdin = bytes.NewReader(data)
			packed, err := command.Output()
			if err != nil {
				t.Fatal(err)
			}
			return packed
		}
		packed, other := pack(image), pack(changed.Data)
		half := fetchtest.Answer{Break: fetchtest.Reset, At: len(packed) / 2}
		end := fetchtest.Answer{Break: fetchtest.Reset, At: len(packed) - 1}
		for _, tt := range []struct {
			name    string
			answers []fetchtest.Answer
			want    []byte
		}{
			{"resumed", []fetchtest.Answer{half, end}, image},
			{"changed", []fetchtest.Answer{half, {File: &fetchtest.File{Data: other, ETag: `"two"`}}}, changed.Data},
			{"gone", []fetchtest.Answer{end, {Status: 404}}, nil},
		} {
			t.Run(program[0]+", "+tt.name, func(t *testing.T) {
				server := fetchtest.New(t, fetchtest.File{Data: packed, ETag: `"one"`}, tt.answers...)
				c, err := get(t, source(server.Image()), Environment{Patience: hasty, Decompress: unpack})
				if (err == nil) != (tt.want != nil) || err == nil && !bytes.Equal(c.data, tt.want) {
					t.Errorf("get = %d bytes, %v, want %d bytes", len(c.data), err, len(tt.want))
				}
			})
		}
	}
}

// TestLendClosed: who closes the stream, while another one reads, does not take the hasher away from under it.
func TestLendClosed(t *testing.T) {
	server := fetchtest.New(t, fetchtest.File{Data: noise(8, 8<<20), ETag: `"one"`})
	s := source(server.Image())
	s.Digest = digestOf([]byte("x"))
	stream, err := Open(t.Context(), s, Environment{Patience: hasty})
	if err != nil {
		t.Fatal(err)
	}
	begun, ended := make(chan bool), make(chan error)
	go func() {
		block := make([]byte, 100_000)
		var err error
		for i := 0; err == nil; i++ {
			stream.Settle(block)
			clear(block)
			if _, err = stream.Lend(block, 0); i == 3 {
				close(begun)
			}
		}
		stream.Settle(block)
		clear(block)
		ended <- err
	}()
	<-begun
	stream.Close()
	if err := <-ended; err == nil || err == io.EOF {
		t.Errorf("Lend of a closed stream = %v", err)
	}
}
