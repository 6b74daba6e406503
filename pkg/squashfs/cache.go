package squashfs

import (
	"slices"
	"sync"
)

// cache keeps the blocks that were used last, by where they begin.
type cache struct {
	mu      sync.Mutex
	max     int
	entries []cached // the one used last at the end
}

type cached struct {
	at    uint64
	block []byte
}

func newCache(max int) *cache { return &cache{max: max} }

// get returns a block, made by unpack if it is not there. The block must not be changed.
func (c *cache) get(at uint64, unpack func() ([]byte, error)) ([]byte, error) {
	if b, ok := c.find(at); ok {
		return b, nil
	}
	b, err := unpack() // outside the lock, so that several blocks can be unpacked at once
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= c.max {
		c.entries = slices.Delete(c.entries, 0, 1)
	}
	c.entries = append(c.entries, cached{at, b})
	return b, nil
}

func (c *cache) find(at uint64) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := len(c.entries) - 1; k >= 0; k-- {
		if e := c.entries[k]; e.at == at {
			c.entries = append(slices.Delete(c.entries, k, k+1), e)
			return e.block, true
		}
	}
	return nil, false
}
