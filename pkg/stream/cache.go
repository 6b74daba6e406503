package stream

import (
	"container/list"
	"context"
	"errors"
	"time"

	"github.com/liveboot/liveboot/pkg/kernel/block"
)

const (
	// reserve is the memory in bytes that the cache leaves to the machine, and look how often it is looked whether it still does.
	reserve = 64 << 20
	look    = 500 * time.Millisecond
)

// cache is the memory of chunks.
type cache struct {
	size        int64 // of a chunk in bytes
	held        int64 // buffers there are
	limit       int64 // how many there may be
	least, most int64 // limits of limit
	volatile    bool  // what rests the kernel may take at any time
	free        [][]byte
	// idle are the chunks that nobody uses, the one that was used last at the end; places is where they are in it.
	idle   *list.List
	places map[*chunk]*list.Element
}

func newCache(c Config) cache {
	// Each connection has one in its hand, so may have what is parked, and one is being used.
	least := 2*int64(c.Connections) + 1
	most := max(c.Memory/c.ChunkSize, least)
	return cache{size: c.ChunkSize, least: least, most: most, limit: most, idle: list.New(), places: make(map[*chunk]*list.Element)}
}

func (c *cache) rest(k *chunk) {
	c.places[k] = c.idle.PushBack(k)
	if c.volatile {
		if k.marks == nil {
			k.marks = mark(k.data)
		}
		k.yielded = yield(k.data)
	}
}

func (c *cache) use(k *chunk) {
	if at, ok := c.places[k]; ok {
		c.idle.Remove(at)
		delete(c.places, k)
	}
}

// oldest takes out the chunk that nobody has used for the longest time; nil if all are in use.
func (c *cache) oldest() *chunk {
	at := c.idle.Front()
	if at == nil {
		return nil
	}
	k := at.Value.(*chunk)
	c.use(k)
	return k
}

// put takes back a buffer that is of no use any more.
func (c *cache) put(memory []byte) {
	if c.held <= c.limit {
		c.free = append(c.free, memory)
		return
	}
	c.held--
	_ = block.Free(memory) // it fails only for what was not mapped
}

// get returns a buffer, nil if there may be none more.
func (c *cache) get() ([]byte, error) {
	if n := len(c.free); n > 0 {
		memory := c.free[n-1]
		c.free = c.free[:n-1]
		return memory, nil
	}
	if c.held >= c.limit {
		return nil, nil
	}
	memory, err := block.Buffer(int(c.size))
	if err == nil {
		c.held++
		if c.volatile {
			unlock(memory)
		}
	}
	return memory, err
}

func (c *cache) close() error {
	var errs []error
	for k := c.oldest(); k != nil; k = c.oldest() {
		c.free = append(c.free, k.data)
	}
	for _, memory := range c.free {
		errs = append(errs, block.Free(memory))
		c.held--
	}
	c.free = nil
	return errors.Join(errs...)
}

// evict gives up chunks that nobody uses until there are no more buffers than there may be.
func (s *Store) evict() {
	for c := &s.cache; c.held > c.limit; {
		if n := len(c.free); n > 0 {
			memory := c.free[n-1]
			c.free = c.free[:n-1]
			c.put(memory)
			continue
		}
		k := c.oldest()
		if k == nil {
			return
		}
		delete(s.known, k.index)
		c.put(k.data)
	}
}

// takeMemory returns a buffer for a chunk, for which it gives up another one if it must.
func (s *Store) takeMemory(ctx context.Context) ([]byte, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		memory, err := s.cache.get()
		if memory != nil {
			return memory, nil
		}
		if k := s.cache.oldest(); k != nil {
			delete(s.known, k.index)
			return k.data, nil
		}
		if err != nil {
			return nil, err
		}
		s.space.Wait()
	}
}

func (s *Store) giveMemory(memory []byte) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.cache.put(memory)
	s.space.Broadcast()
}

// pin keeps the data of k, which is loaded, until unpin. It returns false if the kernel has taken them: the chunk is then one that has not come
// yet.
func (s *Store) pin(k *chunk) bool {
	s.cache.use(k)
	if k.yielded && !regain(k.data, k.marks) {
		delete(s.known, k.index)
		s.cache.put(k.data)
		return false
	}
	k.yielded = false
	k.pins++
	return true
}

// unpin says that one who used the data of k, or was to, does so no more.
func (s *Store) unpin(k *chunk) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.release(k)
}

// release is unpin with the mutex held.
func (s *Store) release(k *chunk) {
	if k.pins--; k.pins > 0 || !k.loaded {
		return
	}
	if k.done && s.isHere(k.index) {
		// Its memory is the best there is for the next chunk: the processor still has it in its caches.
		delete(s.known, k.index)
		s.cache.put(k.data)
	} else {
		s.cache.rest(k)
		s.evict()
	}
	s.space.Broadcast()
}

// followMemory makes the cache, where that is all there is, as large as the machine can spare: half of what is there beyond the reserve.
func (s *Store) followMemory(ctx context.Context) {
	for ticker := time.NewTicker(look); ; {
		available, err := s.config.Available()
		s.mutex.Lock()
		if err == nil && (s.place == nil || s.broken != nil) {
			room := s.cache.held + (available-reserve)/2/s.cache.size
			s.cache.limit = min(max(room, s.cache.least), s.cache.most)
			s.evict()
			s.space.Broadcast()
		}
		s.mutex.Unlock()
		select {
		case <-ticker.C:
		case <-ctx.Done():
			ticker.Stop()
			return
		}
	}
}
