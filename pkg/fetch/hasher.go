package fetch

import (
	"encoding/hex"
	"hash"
	"io"
	"runtime"
	"sync"
)

const (
	// hashPart is how many bytes are handed over at least, unless they are waited for: so many that handing them over does not count.
	hashPart = 128 << 10
	// hashParts is how many parts may wait.
	hashParts = 64
)

// A hasher computes a digest: of what is written at once, of what is lent beside what the lender does meanwhile, in a goroutine of its own.
// Nothing is copied. On a machine with one processor, where nothing is beside anything, it does without the goroutine. It is used by
// one goroutine at a time. The nil hasher does nothing.
type hasher struct {
	algorithm string
	digest    hash.Hash // is the goroutine's for as long as something is queued
	alone     bool      // no goroutine
	running   bool
	kept      part // lent, but too little for handing over

	mutex   sync.Mutex
	changed *sync.Cond // anything below
	queue   [hashParts]part
	first   int // of those that are queued
	queued  int // parts, with the one that is being hashed
	stopped bool
}

// A part is a run of bytes in a block that is lent.
type part struct {
	block    []byte
	from, to int
}

func (p part) empty() bool          { return p.from == p.to }
func (p part) in(block []byte) bool { return !p.empty() && len(block) > 0 && &p.block[0] == &block[0] }

// newHasher returns a hasher for an algorithm that newHash knows.
func newHasher(algorithm string, e Environment) *hasher {
	var digest hash.Hash
	if e.Hash != nil {
		digest = e.Hash(algorithm)
	}
	if digest == nil {
		digest, _ = newHash(algorithm)
	}
	h := &hasher{algorithm: algorithm, digest: digest, alone: runtime.GOMAXPROCS(0) == 1}
	h.changed = sync.NewCond(&h.mutex)
	return h
}

// write hashes p.
func (h *hasher) write(p []byte) {
	if h == nil {
		return
	}
	h.flush()
	h.digest.Write(p) // what can fail tells so at the end
}

// lend hashes what is in block from one index to another, before settle returns for it.
func (h *hasher) lend(block []byte, from, to int) {
	switch {
	case h == nil:
		return
	case h.alone:
		h.digest.Write(block[from:to])
		return
	case h.kept.in(block) && h.kept.to == from:
		h.kept.to = to
	default:
		h.pass()
		h.kept = part{block, from, to}
	}
	if h.kept.to-h.kept.from >= hashPart || to == len(block) {
		h.pass()
	}
}

// pass hands over what is kept.
func (h *hasher) pass() {
	if h.kept.empty() {
		return
	}
	if !h.running {
		h.running = true
		go h.run()
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	for h.queued == hashParts {
		h.changed.Wait()
	}
	h.queue[(h.first+h.queued)%hashParts] = h.kept
	h.queued++
	h.kept = part{}
	h.changed.Broadcast()
}

func (h *hasher) run() {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	for {
		for h.queued == 0 && !h.stopped {
			h.changed.Wait()
		}
		if h.queued == 0 {
			return
		}
		p := h.queue[h.first]
		h.mutex.Unlock()
		h.digest.Write(p.block[p.from:p.to])
		h.mutex.Lock()
		h.queue[h.first] = part{}
		h.first = (h.first + 1) % hashParts
		h.queued--
		h.changed.Broadcast()
	}
}

// settle returns when nothing of a block is read any more.
func (h *hasher) settle(block []byte) {
	if h == nil || h.alone {
		return
	}
	if h.kept.in(block) {
		h.pass()
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	for h.holds(block) {
		h.changed.Wait()
	}
}

func (h *hasher) holds(block []byte) bool {
	for i := range h.queued {
		if h.queue[(h.first+i)%hashParts].in(block) {
			return true
		}
	}
	return false
}

// flush returns when everything that was lent is hashed.
func (h *hasher) flush() {
	if h.pass(); !h.running {
		return
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	for h.queued > 0 {
		h.changed.Wait()
	}
}

// sum returns the digest of what was written and lent up to now.
func (h *hasher) sum() []byte {
	h.flush()
	return h.digest.Sum(nil)
}

// check compares the digest of what was written and lent with want. Without one nothing is wrong.
func (h *hasher) check(want Digest) error {
	if want == (Digest{}) {
		return nil
	}
	got := hex.EncodeToString(h.sum())
	if err := h.failure(); err != nil {
		return err
	}
	if got != want.Hex {
		return &DigestError{Want: want, Got: Digest{want.Algorithm, got}}
	}
	return nil
}

// failure is why there is no digest; nil if there is one.
func (h *hasher) failure() error {
	if failing, ok := h.digest.(interface{ Err() error }); ok {
		return failing.Err()
	}
	return nil
}

// stop ends the goroutine, and returns when nothing that was lent is read any more. The hasher is of no use after it.
func (h *hasher) stop() {
	if h == nil {
		return
	}
	h.flush()
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.stopped = true
	h.changed.Broadcast()
	if c, ok := h.digest.(io.Closer); ok {
		_ = c.Close()
	}
}
