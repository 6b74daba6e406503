package fetch

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/decompress"
	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/pkg/target"
)

// benchSize is that of a small live image.
const benchSize = 512 << 20

// benchRounds is how often all take turns.
const benchRounds = 7

// BenchmarkThroughput compares a download to a file in memory, with SHA-256 on, with what curl does: "curl | dd" and a separate
// sha256sum, and plain "curl -o", which knows no digest, so that ours without one is measured, too. They take turns. What is reported is how
// many times as fast the download is: the median of the rounds, each of which compares what ran within the same seconds, since a machine has
// other things to do, too.
//
//	go test -run '^$' -bench Throughput ./pkg/fetch
func BenchmarkThroughput(b *testing.B) {
	curl := needs.Program(b, "curl", "curl")
	dir, err := os.MkdirTemp("/dev/shm", "bench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	digest := benchImage(b, filepath.Join(dir, "image"))
	address, out := fetchtest.ServeFolder(b, dir)+"/image", filepath.Join(dir, "out")

	take := func(f func() error) float64 {
		began := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		took := time.Since(began)
		if err := os.Remove(out); err != nil {
			b.Fatal(err)
		}
		return took.Seconds()
	}
	shell := func(command string) func() error {
		return func() error { return exec.Command("sh", "-c", command).Run() }
	}
	var rate, dd, plain, undigested []float64
	b.SetBytes(benchSize)
	for b.Loop() {
		for range benchRounds {
			ours := take(func() error { return save(b, address, digest, out, 1) })
			curlTook := take(shell(fmt.Sprintf("%s -sf -o %s %s", curl, out, address)))
			bare := take(func() error { return save(b, address, Digest{}, out, 1) })
			ddTook := take(shell(fmt.Sprintf("%s -sf %s | dd of=%s bs=32k 2>/dev/null && sha256sum %[3]s", curl, address, out)))
			rate = append(rate, benchSize/ours/(1<<20))
			dd, plain, undigested = append(dd, ddTook/ours), append(plain, curlTook/ours), append(undigested, curlTook/bare)
		}
	}
	b.ReportMetric(median(dd), "x-curl-dd-sha256sum")
	b.ReportMetric(median(plain), "x-curl-o")
	b.ReportMetric(median(undigested), "no-digest-x-curl-o")
	b.ReportMetric(median(rate), "MiB/s")
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// benchImage writes an image of noise, and returns its digest.
func benchImage(b *testing.B, name string) Digest {
	b.Helper()
	file, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(file, sum), rand.NewChaCha8([32]byte{}), benchSize); err != nil {
		b.Fatal(err)
	}
	return Digest{"sha256", hex.EncodeToString(sum.Sum(nil))}
}

// save brings the image to a file as a device is filled.
func save(b *testing.B, address string, digest Digest, out string, connections int) error {
	s := lanesOf(connections, address)
	s.Digest = digest
	stream, err := Open(b.Context(), s, Environment{Roots: b.TempDir(), Decompress: func(r io.Reader, _ string) (io.Reader, string, error) {
		d, err := decompress.New(r, decompress.Options{})
		return d, d.Format(), err
	}})
	if err != nil {
		return err
	}
	defer stream.Close()
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	defer file.Close()
	n, err := target.Copy(b.Context(), stream, fileSink{file})
	if err == nil && n != benchSize {
		err = fmt.Errorf("%d bytes arrived, want %d", n, benchSize)
	}
	return err
}

// fileSink is a file that takes anything for an image.
type fileSink struct{ file *os.File }

func (s fileSink) First([]byte) (int64, error) { return 0, nil }

func (s fileSink) Write(block []byte, offset int64) error {
	_, err := s.file.WriteAt(block, offset)
	return err
}

func (s fileSink) Restart(int64) error { return nil }

// BenchmarkRead shows that a block costs no memory.
func BenchmarkRead(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000000000")
		block := make([]byte, 1<<20)
		for {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	s := source(server.URL + "/image")
	s.Digest = Digest{"sha256", hex.EncodeToString(make([]byte, 32))}
	stream, err := Open(b.Context(), s, Environment{Roots: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer stream.Close()
	block := make([]byte, 1<<20)
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	for b.Loop() {
		stream.Settle(block)
		for n := 0; n < len(block); {
			m, err := stream.Lend(block, n)
			if err != nil {
				b.Fatal(err)
			}
			n += m
		}
	}
	stream.Settle(block)
}

// BenchmarkConnections compares four connections with one where nothing is lost and one is as fast as can be: with SHA-256 and without a digest.
func BenchmarkConnections(b *testing.B) {
	dir, err := os.MkdirTemp("/dev/shm", "bench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	digest := benchImage(b, filepath.Join(dir, "image"))
	address, out := fetchtest.ServeFolder(b, dir)+"/image", filepath.Join(dir, "out")
	take := func(digest Digest, connections int) float64 {
		began := time.Now()
		if err := save(b, address, digest, out, connections); err != nil {
			b.Fatal(err)
		}
		took := time.Since(began)
		if err := os.Remove(out); err != nil {
			b.Fatal(err)
		}
		return took.Seconds()
	}
	var verified, plain []float64
	b.SetBytes(benchSize)
	for b.Loop() {
		for range benchRounds {
			verified = append(verified, take(digest, 1)/take(digest, 4))
			plain = append(plain, take(Digest{}, 1)/take(Digest{}, 4))
		}
	}
	b.ReportMetric(median(verified), "x-one")
	b.ReportMetric(median(plain), "no-digest-x-one")
}
