// Package blockcache makes few large reads of many small ones.
//
// Who reads the structures of a file system reads a few bytes here and a few there, many of them twice. Behind a network each would take a
// request. A Cache reads whole blocks, more and more of them at a time where they are asked for one after the other, and keeps those that
// were used last, in memory that is bounded.
package blockcache

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Options say how much is read, and kept. The zero Options are the defaults.
type Options struct {
	// Block is how many bytes are read at least, at a multiple of it; 0 means DefaultBlock.
	Block int
	// Ahead is how many bytes are read at most where access is sequential; 0 means DefaultAhead.
	Ahead int
	// Memory in bytes bounds what is kept; 0 means DefaultMemory. A read needs up to Ahead more for as long as it lasts.
	Memory int64
}

// Defaults of Options.
const (
	// DefaultBlock is what a common network brings in less time than its answer takes to come.
	DefaultBlock = 64 << 10
	// DefaultAhead is where more does not make the reading noticeably faster.
	DefaultAhead = 1 << 20
	// DefaultMemory holds the directories and the tables of most file systems.
	DefaultMemory = 16 << 20
)

// trails is how many places are remembered at which access was sequential.
const trails = 8

// A Cache reads through blocks. Its methods may be called at the same time; a block that is wanted by several is read once.
type Cache struct {
	r      io.ReaderAt
	size   int64
	block  int64 // bytes
	ahead  int64 // blocks
	blocks int   // that are kept

	mutex  sync.Mutex
	known  map[int64]*block
	recent *list.List // of *block that are there, those used last in front
	trails []trail    // the newest at the end
}

// A block is there, or on its way.
type block struct {
	number int64
	data   []byte
	err    error
	there  chan struct{} // closed when data or err is
	place  *list.Element // nil while it is on its way
}

// A trail is blocks that were read together. Sequential access goes on behind them, or before their end where some of them were there.
type trail struct{ first, length int64 }

// New returns a cache of r, which has size bytes.
func New(r io.ReaderAt, size int64, o Options) *Cache {
	if o.Block <= 0 {
		o.Block = DefaultBlock
	}
	if o.Ahead <= 0 {
		o.Ahead = DefaultAhead
	}
	if o.Memory <= 0 {
		o.Memory = DefaultMemory
	}
	return &Cache{
		r: r, size: size, block: int64(o.Block), ahead: int64(max(1, o.Ahead/o.Block)), blocks: int(max(1, o.Memory/int64(o.Block))),
		known: map[int64]*block{}, recent: list.New(),
	}
}

// ReadAt implements io.ReaderAt. Its errors are those of the reader below; another ReadAt reads again what could not be read.
func (c *Cache) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, fmt.Errorf("read at %d: before the beginning", offset)
	}
	var end error
	if rest := c.size - offset; int64(len(p)) > rest {
		p, end = p[:max(0, rest)], io.EOF
	}
	n := 0
	for n < len(p) {
		at := offset + int64(n)
		b := c.get(at/c.block, (offset+int64(len(p))-1)/c.block)
		if <-b.there; b.err != nil {
			return n, b.err
		}
		n += copy(p[n:], b.data[at%c.block:])
	}
	return n, end
}

// get returns a block, which may be on its way. last is the last that is wanted with it.
func (c *Cache) get(number, last int64) *block {
	c.mutex.Lock()
	if b := c.known[number]; b != nil {
		if b.place != nil {
			c.recent.MoveToFront(b.place)
		}
		c.mutex.Unlock()
		return b
	}
	run := c.miss(number, last)
	c.mutex.Unlock()
	c.fill(run)
	return run[0]
}

// miss registers the blocks that are read together from number on.
func (c *Cache) miss(number, last int64) []*block {
	length := c.follow(number, last-number+1)
	var run []*block
	for n := number; n < number+length && n*c.block < c.size && c.known[n] == nil; n++ {
		b := &block{number: n, there: make(chan struct{})}
		c.known[n] = b
		run = append(run, b)
	}
	return run
}

// follow returns how many blocks are read from number on, where so many are wanted: twice as many as before if access is sequential.
func (c *Cache) follow(number, wanted int64) int64 {
	t := trail{first: number, length: 1}
	for i, old := range c.trails {
		if old.first < number && number <= old.first+old.length {
			t.length = 2 * old.length
			c.trails = append(c.trails[:i], c.trails[i+1:]...)
			break
		}
	}
	t.length = min(max(t.length, wanted), c.ahead)
	if len(c.trails) == trails {
		c.trails = c.trails[1:]
	}
	c.trails = append(c.trails, t)
	return t.length
}

// fill reads blocks that follow each other, by one read.
func (c *Cache) fill(run []*block) {
	offset := run[0].number * c.block
	data := make([]byte, min(int64(len(run))*c.block, c.size-offset))
	n, err := c.r.ReadAt(data, offset)
	if n == len(data) {
		err = nil
	} else if err == nil || errors.Is(err, io.EOF) {
		err = fmt.Errorf("read at %d: %w", offset+int64(n), io.ErrUnexpectedEOF)
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, b := range run {
		part := data[:min(int64(len(data)), c.block)]
		data = data[len(part):]
		if n -= len(part); n < 0 {
			b.err = err
			delete(c.known, b.number)
		} else {
			b.data = part
			if len(run) > 1 {
				b.data = append([]byte(nil), part...) // that one block is kept keeps no others
			}
			b.place = c.recent.PushFront(b)
		}
		close(b.there)
	}
	for c.recent.Len() > c.blocks {
		oldest := c.recent.Back()
		delete(c.known, oldest.Value.(*block).number)
		c.recent.Remove(oldest)
	}
}
