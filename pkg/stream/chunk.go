package stream

import "slices"

// class is how urgent a chunk is.
type class int

const (
	demanded   class = iota // somebody waits for it
	expected                // somebody will ask for it soon
	background              // the image is not complete without it
	classes
)

// runLeast is how many bytes are worth a request of their own where a connection is free for it.
const runLeast = 1 << 20

// chunk is a piece of the image that is on its way, or in memory.
type chunk struct {
	index    int64
	class    class
	attempts int   // failed fetches
	queued   bool  // in the queue of its class
	fetching bool  // a connection has it; if it is neither queued nor fetched nor loaded, it waits for another attempt
	loaded   bool  // its bytes are right
	pins     int   // who uses data now, or will as soon as there are any
	lent     int64 // bytes of data that were read where they are
	done     bool  // nobody is expected to use data again before others
	data     []byte
	marks    []uint16      // of data, where the kernel may take it
	yielded  bool          // and may now
	ready    chan struct{} // closed when it is loaded
}

// isHere tells whether a chunk is in its place.
func (s *Store) isHere(index int64) bool { return s.have[index/64]&(1<<(index%64)) != 0 }

func (s *Store) setHere(index int64, here bool) {
	if here == s.isHere(index) {
		return
	}
	s.have[index/64] ^= 1 << (index % 64)
	if here {
		s.count++
	} else {
		s.count--
	}
	s.filled.Broadcast()
}

// want makes sure that a chunk which is not in its place will come, as urgently as c says, and returns it.
func (s *Store) want(index int64, c class) *chunk {
	k := s.known[index]
	if k == nil {
		k = &chunk{index: index, class: c, ready: make(chan struct{})}
		s.known[index] = k
		s.enqueue(k)
		return k
	}
	if k.loaded || k.class <= c {
		return k
	}
	switch {
	case k.fetching:
		s.busy[k.class]--
		s.busy[c]++
		k.class = c
		s.turns.Broadcast()
	case k.queued:
		s.dequeue(k)
		k.class = c
		s.enqueue(k)
	default:
		k.class = c // it is queued there when its time comes
	}
	return k
}

func (s *Store) enqueue(k *chunk) {
	k.queued = true
	s.queues[k.class] = append(s.queues[k.class], k)
	s.work.Signal()
}

// dequeue takes chunks of one class out of its queue.
func (s *Store) dequeue(chunks ...*chunk) {
	for _, k := range chunks {
		k.queued = false
	}
	queue := &s.queues[chunks[0].class]
	if len(chunks) == 1 && (*queue)[0] == chunks[0] {
		*queue = (*queue)[1:]
	} else {
		*queue = slices.DeleteFunc(*queue, func(k *chunk) bool { return !k.queued })
	}
	s.filled.Broadcast()
}

// urgent tells whether somebody needs the line more than the background.
func (s *Store) urgent() bool {
	for c := range background {
		if len(s.queues[c]) > 0 || s.busy[c] > 0 {
			return true
		}
	}
	return false
}

// pick takes the next chunks to fetch, which lie one behind the other, out of their queue; none if there are none. One connection is kept
// free for those who will wait, and what nobody waits for leaves the line to those who do.
func (s *Store) pick() []*chunk {
	spare := s.active < s.spare()
	var c class
	switch {
	case len(s.queues[demanded]) > 0 && s.active < s.config.Connections:
		c = demanded
	case spare && len(s.queues[expected]) > 0:
		c = expected
	case spare && len(s.queues[background]) > 0 && s.filling < s.spare() && !s.urgent():
		c = background
	default:
		return nil
	}
	run := s.run(s.queues[c][0])
	s.dequeue(run...)
	for _, k := range run {
		k.fetching = true
		s.busy[c]++
	}
	return run
}

// run returns a queued chunk with those behind it that are to come by the same request. Whom somebody waits for comes alone, and so does,
// by itself, what could not be had before.
func (s *Store) run(k *chunk) []*chunk {
	run := []*chunk{k}
	if s.streamer == nil || k.class == demanded || k.attempts > 0 {
		return run
	}
	for most := s.longest(k.class); int64(len(run)) < most; run = append(run, k) {
		if k = s.known[k.index+1]; k == nil || !k.queued || k.class != run[0].class || k.attempts > 0 {
			break
		}
	}
	return run
}

// longest is how many chunks of a class one request may be for: no more than the line brings in the time for which it may be occupied. What
// is fetched ahead is shared out to the connections that are free.
func (s *Store) longest(c class) int64 {
	most := s.line.piece()
	if c == expected {
		free := int64(s.spare() - s.active)
		share := (int64(len(s.queues[c]))*s.config.ChunkSize + free - 1) / free
		most = min(most, max(share, runLeast))
	}
	return max(most/s.config.ChunkSize, 1)
}

// spare is how many connections may fetch what nobody waits for.
func (s *Store) spare() int { return max(s.config.Connections-1, 1) }
