package fetch

import "encoding/hex"

const (
	// hashBlock is how much is hashed at a time: large enough that handing it over does not count.
	hashBlock = 256 << 10
	// hashBlocks is one that is being hashed, one that is being filled, and one between them.
	hashBlocks = 3
)

// A hasher computes a digest in a goroutine of its own, beside reading and writing. The nil hasher does nothing.
type hasher struct {
	algorithm  string
	current    []byte
	free, full chan []byte
	result     chan []byte
}

// newHasher starts a hasher for an algorithm that newHash knows.
func newHasher(algorithm string) *hasher {
	h := &hasher{
		algorithm: algorithm,
		free:      make(chan []byte, hashBlocks),
		full:      make(chan []byte, hashBlocks),
		result:    make(chan []byte),
	}
	for range hashBlocks {
		h.free <- make([]byte, 0, hashBlock)
	}
	h.current = <-h.free
	go h.run()
	return h
}

func (h *hasher) run() {
	sum, _ := newHash(h.algorithm)
	for b := range h.full {
		if b == nil {
			h.result <- sum.Sum(nil)
			continue
		}
		sum.Write(b) // a hash.Hash never fails
		h.free <- b[:0]
	}
}

// write takes a copy of p.
func (h *hasher) write(p []byte) {
	if h == nil {
		return
	}
	for len(p) > 0 {
		n := copy(h.current[len(h.current):cap(h.current)], p)
		h.current, p = h.current[:len(h.current)+n], p[n:]
		if len(h.current) == cap(h.current) {
			h.full <- h.current
			h.current = <-h.free
		}
	}
}

// sum returns the digest of what was written up to now.
func (h *hasher) sum() []byte {
	h.full <- h.current
	h.full <- nil
	sum := <-h.result
	h.current = <-h.free
	return sum
}

// check compares the digest of what was written with want. Without one nothing is wrong.
func (h *hasher) check(want Digest) error {
	if want == (Digest{}) {
		return nil
	}
	if got := hex.EncodeToString(h.sum()); got != want.Hex {
		return &DigestError{Want: want, Got: Digest{want.Algorithm, got}}
	}
	return nil
}

// stop ends the goroutine. The hasher is of no use after it.
func (h *hasher) stop() {
	if h != nil {
		close(h.full)
	}
}
