package fetch

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"testing"

	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
)

// givenHash is a hash that may fail, and counts what it was written and how often it was closed.
type givenHash struct {
	hash.Hash
	err             error
	written, closed int
}

func (h *givenHash) Write(p []byte) (int, error) {
	h.written += len(p)
	return h.Hash.Write(p)
}
func (h *givenHash) Err() error   { return h.err }
func (h *givenHash) Close() error { h.closed++; return nil }

// A hash that is given takes the place of Go's. One that has failed has found nothing out: the image is fetched once more.
func TestGivenHash(t *testing.T) {
	broken := errors.New("the kernel has no memory")
	for _, tt := range []struct {
		name     string
		err      error
		want     Digest
		restarts int
		wantErr  bool
	}{
		{"right", nil, digestOf(image), 0, false},
		{"wrong image", nil, digestOf(changed.Data), 0, true},
		{"failed", broken, digestOf(image), 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := fetchtest.New(t, strong)
			given, calls := &givenHash{Hash: sha256.New(), err: tt.err}, 0
			c, err := get(t, Source{URLs: []URL{URL(server.Image())}, Digest: tt.want}, Environment{Patience: hasty, Hash: func(algorithm string) hash.Hash {
				if calls++; calls > 1 || algorithm != "sha256" {
					return nil
				}
				return given
			}})
			var different *DigestError
			if errors.As(err, &different) != tt.wantErr || (err != nil) != tt.wantErr || c.restarts != tt.restarts {
				t.Errorf("get = %v after %d restarts, want a digest error: %t, %d restarts", err, c.restarts, tt.wantErr, tt.restarts)
			}
			if err == nil && !bytes.Equal(c.data, image) {
				t.Errorf("got %d bytes, which are not the image", len(c.data))
			}
			if given.written != len(image) || given.closed != 1 {
				t.Errorf("%d bytes were written to the hash, and it was closed %d times, want %d, once", given.written, given.closed, len(image))
			}
		})
	}
}
