package stream

const (
	// streams is how many sequential readers are told apart.
	streams = 8
	// late is by how many chunks a read may come after one that it was asked for before: reads that are under way at the same time overtake
	// each other.
	late = 4
)

// ahead finds out where reading is sequential.
type ahead struct {
	readers [streams]reader
	clock   int64
}

// reader is somebody who reads one chunk after the other.
type reader struct {
	at    int64 // the chunk
	run   int64 // how many there were before it, without a gap
	until int64 // the last chunk that was fetched for it
	last  int64 // when it read, by ahead.clock
}

// touch takes note that a chunk is being read, and returns the last one of those behind it that are likely to be read next, which are as many
// as have been read in a row before, but no more than most. It returns index itself where nothing is to be done: while more than half
// of them are still to be read, no more are asked for, so that there are several for a request.
func (a *ahead) touch(index, most int64) int64 {
	a.clock++
	oldest := &a.readers[0]
	for i := range a.readers {
		r := &a.readers[i]
		switch {
		case r.last > 0 && index <= r.at && index > r.at-late:
			r.last = a.clock
			return index
		case r.last > 0 && (index == r.at+1 || index == r.at+2 && r.run > 0):
			r.run += index - r.at
			r.at, r.last = index, a.clock
			n := min(r.run, most)
			if r.until-index > n/2 {
				return index
			}
			r.until = max(r.until, index+n)
			return index + n
		case r.last < oldest.last:
			oldest = r
		}
	}
	*oldest = reader{at: index, until: index, last: a.clock}
	return index
}

// expect has those chunks fetched that will be read after index.
func (s *Store) expect(index int64) {
	until := s.ahead.touch(index, s.mostAhead())
	for i := index + 1; i <= until && i < s.chunks; i++ {
		if !s.isHere(i) {
			s.want(i, expected)
		}
	}
}

// mostAhead is how many chunks may be fetched ahead of a reader: in memory they must not push each other out.
func (s *Store) mostAhead() int64 {
	return min(max(s.config.Ahead, 0)/s.config.ChunkSize, s.cache.limit/2)
}

// near is the largest part of the image in bytes, beginning at a multiple of its length, that is fetched as a whole when somebody waits for
// something in it.
const near = 1 << 20

// neighbours has the chunks around index fetched, too, where the line is so long that they come in the time in which their request would
// travel: who reads one thing reads others beside it, and each that is there spares a wait.
func (s *Store) neighbours(index int64) {
	if s.config.Ahead < 0 || s.line.latency < far {
		return
	}
	n := int64(1)
	for free := s.line.free(); 2*n*s.config.ChunkSize <= near && (2*n-1)*s.config.ChunkSize <= free && 8*n <= s.cache.limit; {
		n *= 2
	}
	first := index / n * n
	for i := range n {
		i = first + (index-first+i)%n // those behind it come first
		if i < s.chunks && !s.isHere(i) {
			s.want(i, expected)
		}
	}
}
