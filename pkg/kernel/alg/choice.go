package alg

import (
	"bufio"
	"bytes"
	"hash"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// A Chooser chooses between the kernel's hashes and Go's. It is used by one goroutine at a time.
type Chooser struct {
	// Proc is the file system that holds "proc".
	Proc fs.FS
	// Load loads Module.
	Load func() error
	// Report is told what was chosen, in words for a person; nil for nobody.
	Report func(format string, args ...any)

	// chosen are those that were measured; nil is for Go's.
	chosen map[string]*Hash
}

// Choose returns an empty hash of the kernel's where that is faster than Go's, which is ours; nil otherwise, and where one that it returned
// before has failed since. The kernel is not asked where the processor has instructions for SHA-256.
func (c *Chooser) Choose(name string, ours hash.Hash) hash.Hash {
	before, known := c.chosen[name]
	switch {
	case known && (before == nil || before.Err() != nil), instructions(c.Proc):
		return nil
	case !known:
		if c.chosen == nil {
			c.chosen = map[string]*Hash{}
		}
		c.chosen[name] = nil
		if err := c.Load(); err != nil {
			c.report("%s is computed by Go: %v", name, err)
			return nil
		}
	}
	h, err := New(name)
	switch {
	case err != nil:
		c.report("%s is computed by Go: %v", name, err)
		return nil
	case !known && !Faster(h, ours):
		_ = h.Close() // nothing was written to it
		c.report("%s is computed by Go: the kernel is no faster", name)
		return nil
	case !known:
		c.report("%s is computed by the kernel, which is faster than Go on this processor", name)
	}
	c.chosen[name] = h
	return h
}

func (c *Chooser) report(format string, args ...any) {
	if c.Report != nil {
		c.Report(format, args...)
	}
}

// instructions tells whether the processors have some for SHA-256, as the flags in /proc/cpuinfo call them on x86 and on Arm. Where it cannot be
// read, they are taken to have.
func instructions(proc fs.FS) bool {
	text, err := fs.ReadFile(proc, "proc/cpuinfo")
	if err != nil {
		return true
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, flags, _ := strings.Cut(lines.Text(), ":")
		if name = strings.TrimSpace(name); name != "flags" && name != "Features" {
			continue
		}
		list := strings.Fields(flags)
		return slices.Contains(list, "sha_ni") || slices.Contains(list, "sha2")
	}
	return false
}

const (
	// sample is what Faster computes digests of, in bytes: under QEMU's translator a few milliseconds.
	sample = 64 << 10
	// rounds is how often, since what runs for the first time is translated, and anything may come between.
	rounds = 3
)

// Faster tells whether a computes digests faster than b, by a tenth at least. Both are empty before and after. One that fails, or has another
// digest than b, is not faster.
func Faster(a, b hash.Hash) bool {
	p := make([]byte, sample)
	for i := range p {
		p[i] = byte(i * i >> 7)
	}
	least := [2]time.Duration{}
	var digests [2]string
	for range rounds {
		for i, h := range []hash.Hash{a, b} {
			h.Reset()
			began := time.Now()
			if _, err := h.Write(p); err != nil {
				return false
			}
			digests[i] = string(h.Sum(nil))
			if took := time.Since(began); least[i] == 0 || took < least[i] {
				least[i] = took
			}
			h.Reset()
		}
	}
	return digests[0] == digests[1] && least[0] < least[1]-least[1]/10
}
