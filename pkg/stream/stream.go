// Package stream is an image that is in use while it still arrives.
//
// A Store reads chunks of the image from a Source when somebody asks for them, verifies them, and keeps them: in its Place, which is the
// RAM disk or the disk that the image is meant for, or, without one, in a cache that gives its memory back when the machine needs it. Fill
// brings the rest to the Place, at a priority that leaves the line to those who wait. A chunk is fetched once, however many ask for it.
//
// Reads never fail: what cannot be had is waited for until the context ends. That is so through outages of any length; where chunks are
// wrong, which are fetched again and never delivered; and where the file on the server has become another one, until the Source has the old
// one again, since two images must not be mixed. Only who has given the readers up lets them fail, by Refuse.
//
// A Device is a Store as a block device, and Serve the life of the process that has one.
package stream

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/liveboot/liveboot/pkg/kernel/block"
)

// A Source is where the image comes from. It is used by several goroutines at a time.
type Source interface {
	// ReadAt fills p with what is at offset, within the image. After an error it is asked again, later.
	ReadAt(ctx context.Context, p []byte, offset int64) (int, error)
}

// A Streamer is a Source that gives what it reads as it comes, so that one request can be for many chunks.
type Streamer interface {
	// ReadInto reads length bytes at offset, all of them within the image, into what next returns. It calls next again, in the same goroutine,
	// when that is full. An error of next ends the reading. After another one the chunks that had not come are asked for by ReadAt.
	ReadInto(ctx context.Context, offset, length int64, next func() ([]byte, error)) error
}

// A Distruster is a Source that has more than one server.
type Distruster interface {
	// Distrust says that what ReadAt gave for these bytes was wrong, so that another server may be asked for them.
	Distrust(offset, length int64, cause error)
}

// A Place is where the image will be complete. The memory that it is given begins at a page.
type Place interface {
	ReadAt(p []byte, offset int64) (int, error)
	// WriteAt writes p, whose length and offset are whole sectors: behind the image come zeros.
	WriteAt(p []byte, offset int64) (int, error)
	// Sync returns when what was written will survive a power cut.
	Sync() error
}

// A Config says how an image is streamed.
type Config struct {
	// Size of the image in bytes.
	Size int64
	// ChunkSize is the least that is fetched, in bytes: a multiple of block.Alignment. 0 means DefaultChunkSize. Where Verify is that of a
	// manifest, it is the manifest's.
	ChunkSize int64
	// Verify judges a chunk; nil if nothing is known before the whole image is there.
	Verify func(index int, chunk []byte) error
	// Connections is how many requests there are at a time; 0 means DefaultConnections.
	Connections int
	// Ahead is how many bytes are fetched before they are asked for, where reading is sequential; 0 means DefaultAhead, negative none.
	Ahead int64
	// Rate bounds what Fill fetches, in bytes per second; 0 for no bound.
	Rate int64
	// Memory is the most that chunks may take in memory, in bytes; 0 means DefaultMemory, and without a Place DefaultCache.
	Memory int64
	// Available returns how much memory the machine has to spare, in bytes. Without a Place, the cache follows it; nil for a cache of a fixed
	// size.
	Available func() (int64, error)
	// Notice is how long somebody waits before that is reported; 0 means DefaultNotice.
	Notice time.Duration
	// Report is told what happens, one event after the other; nil for nobody.
	Report func(Event)
}

// Defaults of Config. The system of an image of 389 MB made 660 reads at different places on its way to the login, of 43 MB in pieces of 64
// KiB. In chunks of 128, 256, 512 and 1024 KiB, with what is fetched ahead, these are 59, 70, 88 and 114 MB, for which it waits 244, 162,
// 105 and 73 times.
const (
	DefaultChunkSize   = 256 << 10
	DefaultConnections = 4
	DefaultAhead       = 8 << 20
	DefaultMemory      = 16 << 20
	DefaultCache       = 256 << 20
	DefaultNotice      = 5 * time.Second
)

func (c Config) withDefaults(lazy bool) Config {
	if c.ChunkSize == 0 {
		c.ChunkSize = DefaultChunkSize
	}
	if c.Connections == 0 {
		c.Connections = DefaultConnections
	}
	if c.Ahead == 0 {
		c.Ahead = DefaultAhead
	}
	if c.Memory == 0 {
		c.Memory = DefaultMemory
		if lazy {
			c.Memory = DefaultCache
		}
	}
	if c.Notice == 0 {
		c.Notice = DefaultNotice
	}
	return c
}

// A Store is an image on its way. Its methods may be called by several goroutines at a time. Somebody must call Run.
type Store struct {
	config   Config
	source   Source
	streamer Streamer // the source; nil if it is none
	place    Place    // nil: there is only the cache
	chunks   int64    // in the image

	mutex sync.Mutex
	// What somebody waits for, and ctx's end with each: work is that there may be something to pick, turns that the line may be free for what
	// had left it, space that there may be memory for a chunk, filled that Fill may go on.
	work, turns, space, filled sync.Cond

	have      []uint64 // a bit for each chunk that is in its place
	count     int64    // of those bits
	known     map[int64]*chunk
	queues    [classes][]*chunk
	busy      [classes]int // chunks that are being fetched
	active    int          // requests that are under way
	filling   int          // loadings that began in the background, those included that left the line to others
	line      line
	cache     cache
	ahead     ahead
	broken    error // why nothing is written to the place any more
	trouble   error // of the last fetch; nil if it brought a chunk
	asked     time.Time
	wants     wants
	delivered Stats

	telling sync.Mutex
	// late is how many have waited for longer than Notice and still do, lateSince when the first of them began, once that was reported.
	late      int
	lateSince time.Time
}

// New returns a Store of the image that source gives. place is nil if the image is never to be complete.
func New(c Config, source Source, place Place) (*Store, error) {
	c = c.withDefaults(place == nil)
	if c.Size <= 0 || c.ChunkSize <= 0 || c.ChunkSize%block.Alignment != 0 {
		return nil, fmt.Errorf("stream an image of %d bytes in chunks of %d: the size must be positive, and chunks of whole pages of %d",
			c.Size, c.ChunkSize, block.Alignment)
	}
	chunks := (c.Size + c.ChunkSize - 1) / c.ChunkSize
	s := &Store{
		config: c, source: source, place: place, chunks: chunks,
		have: make([]uint64, (chunks+63)/64), known: make(map[int64]*chunk), wants: wants{refused: make(chan struct{})},
	}
	s.streamer, _ = source.(Streamer)
	for _, c := range s.conditions() {
		c.L = &s.mutex
	}
	s.cache = newCache(c)
	s.cache.volatile = place == nil
	return s, nil
}

// Run fetches what is asked for until ctx ends.
func (s *Store) Run(ctx context.Context) {
	stop := context.AfterFunc(ctx, s.wake)
	defer stop()
	var running sync.WaitGroup
	// What has left the line to others has a goroutine, but no connection.
	for range s.config.Connections + s.spare() {
		running.Go(func() { s.fetchAll(ctx) })
	}
	if s.config.Available != nil {
		running.Go(func() { s.followMemory(ctx) })
	}
	running.Wait()
}

// Close gives the memory of the chunks back. Nobody may be reading any more, and Run must have returned.
func (s *Store) Close() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	clear(s.known)
	return s.cache.close()
}

// wake makes all who wait look again.
func (s *Store) wake() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, c := range s.conditions() {
		c.Broadcast()
	}
}

func (s *Store) conditions() [4]*sync.Cond {
	return [...]*sync.Cond{&s.work, &s.turns, &s.space, &s.filled}
}

// Stats counts what a Store has done.
type Stats struct {
	// Size is that of the image in bytes, Present how many of them are in their place, Cached how much memory chunks take.
	Size, Present, Cached int64
	// Fetched is how many bytes came from the source, Asked how many of those because somebody waited for them.
	Fetched, Asked int64
	// Chunks counts the fetches, Wrong those that were not right.
	Chunks, Wrong int64
}

// Stats returns what was done up to now.
func (s *Store) Stats() Stats {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	d := s.delivered
	d.Size, d.Cached = s.config.Size, s.cache.held*s.config.ChunkSize
	d.Present = min(s.count*s.config.ChunkSize, s.config.Size)
	return d
}

// length returns that of a chunk in bytes: the last one may be shorter.
func (s *Store) length(index int64) int64 {
	return min(s.config.ChunkSize, s.config.Size-index*s.config.ChunkSize)
}
