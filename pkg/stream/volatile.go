package stream

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/kernel/block"
)

// Chunks that rest in a cache are memory that the kernel may take: madvise(2), MADV_FREE. It does so before it lets a program go short, at
// once, however fast that takes what there is; who looks how much memory is left is always too late for some. What was taken reads as zeros,
// from a page to its end, and so is known by a word of each page that was none. A page of zeros is none the worse for it.

const (
	// wordSize in bytes, and words how many of them a page has.
	wordSize = 8
	words    = block.Alignment / wordSize
)

// mark returns for each page of data the number of a word in it that is not zero, or words if all are.
func mark(data []byte) []uint16 {
	marks := make([]uint16, len(data)/block.Alignment)
	for i := range marks {
		for marks[i] < words && *word(data, i, marks[i]) == 0 {
			marks[i]++
		}
	}
	return marks
}

// word returns a word of a page of data, which begins at a page.
func word(data []byte, page int, number uint16) *uint64 {
	return (*uint64)(unsafe.Pointer(&data[page*block.Alignment+int(number)*wordSize]))
}

// yield lets the kernel take data. It returns false if it will not.
func yield(data []byte) bool { return unix.Madvise(data, unix.MADV_FREE) == nil }

// regain takes data back from the kernel, and tells whether all of it is there. A page that is written to stays; what is written must be what
// was there at that moment.
func regain(data []byte, marks []uint16) bool {
	for i, number := range marks {
		if number < words && atomic.OrUint64(word(data, i, number), 0) == 0 {
			return false
		}
	}
	return true
}

// unlock lets the kernel take what mlockall(2) would keep in memory.
func unlock(data []byte) { _ = unix.Munlock(data) } // it fails only for what is not mapped
