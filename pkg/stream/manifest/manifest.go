// Package manifest lets parts of an image be verified before the whole of it is there.
//
// A manifest has the hash of each chunk of an image, and one root hash that stands for all of it: who knows the root, from the kernel
// command line or by a signature of the file, can trust every chunk that has the hash that the manifest says. The file lies beside the
// image, as "<image>.chunks". Numbers are big-endian:
//
//	offset  length  field
//	0       16      "liveboot chunks\n"
//	16      4       version, 1
//	20      4       size of a chunk in bytes, a power of two; the last chunk may be shorter
//	24      8       size of the image in bytes, not 0
//	32      16      name of the hash, "sha256", and zeros
//	48      32      SHA-256 of the image, as sha256sum prints it
//	80      32      hash of the first chunk
//	112     …       those of the others, and nothing behind them
//
// The hashes are those of a Merkle tree as in RFC 9162, section 2.1.1: of a chunk it is SHA-256(0x00 ‖ chunk), of a node above two others
// SHA-256(0x01 ‖ left ‖ right), where the left one stands over the largest power of two of chunks that leaves something for the right one.
// The root is SHA-256(0x02 ‖ the first 80 bytes of the file ‖ the hash at the top of the tree), so that it stands for sizes and digest,
// too. By the different first bytes nothing of one kind can be taken for another. An image and a size of chunks have one manifest only.
package manifest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

const (
	// Suffix is what the name of the file has behind that of the image.
	Suffix = ".chunks"
	// DefaultChunk in bytes. Nothing can be used before its chunk is complete: a read of a few bytes at a random place waits for a quarter of
	// a second at 1 MB/s. With half of it the manifest would be twice as long, and requests so short that a server 20 ms away is not used
	// well.
	DefaultChunk = 256 << 10
	// MinChunk and MaxChunk in bytes are what chunks can be: not less than a page, and not more than a machine can spare for several at a
	// time.
	MinChunk, MaxChunk = 4 << 10, 16 << 20
	// MaxChunks is how many an image can have: 64 GiB of the default size. It bounds the memory that a file can ask for.
	MaxChunks = 1 << 18
	// MaxSize is the size in bytes of the largest file.
	MaxSize = headerSize + MaxChunks*sha256.Size

	headerSize = 80
	magic      = "liveboot chunks\n"
	version    = 1
	hashName   = "sha256"
)

// First bytes of what is hashed.
const (
	ofChunk byte = iota
	ofNode
	ofRoot
)

// A Manifest says what the chunks of an image are.
type Manifest struct {
	// Size of the image, and of each of its chunks but the last, in bytes.
	Size, ChunkSize int64
	// Digest is the SHA-256 of the whole image.
	Digest [sha256.Size]byte

	chunks [][sha256.Size]byte
	root   Root
}

// Chunks returns how many chunks the image has.
func (m *Manifest) Chunks() int { return len(m.chunks) }

// Bounds returns where a chunk begins, and how long it is, in bytes.
func (m *Manifest) Bounds(index int) (offset, length int64) {
	offset = int64(index) * m.ChunkSize
	return offset, min(m.ChunkSize, m.Size-offset)
}

// Root returns the hash that stands for the manifest.
func (m *Manifest) Root() Root { return m.root }

// Verify compares a chunk with what it must be. Its error is a *ChunkError.
func (m *Manifest) Verify(index int, chunk []byte) error {
	if index < 0 || index >= len(m.chunks) {
		return &ChunkError{Index: index, Chunks: len(m.chunks)}
	}
	offset, length := m.Bounds(index)
	if int64(len(chunk)) == length && hashChunk(chunk) == m.chunks[index] {
		return nil
	}
	return &ChunkError{Index: index, Chunks: len(m.chunks), Offset: offset, Length: length, Got: int64(len(chunk))}
}

// A ChunkError says that a chunk is not the one that the manifest is of.
type ChunkError struct {
	// Index of the chunk, of so many.
	Index, Chunks int
	// Offset is where it begins in the image, Length how long it must be, and Got how long it was, in bytes.
	Offset, Length, Got int64
}

// Error says where in the image it is.
func (e *ChunkError) Error() string {
	switch {
	case e.Length == 0:
		return fmt.Sprintf("there is no chunk %d among the %d of the image", e.Index, e.Chunks)
	case e.Got != e.Length:
		return fmt.Sprintf("the chunk of the image at byte %d has %d bytes, want %d", e.Offset, e.Got, e.Length)
	}
	return fmt.Sprintf("the %d bytes of the image at byte %d are not those of its manifest", e.Length, e.Offset)
}

// ChunkFor returns the size of chunks in bytes for an image of so many: DefaultChunk, unless there would be more than MaxChunks.
func ChunkFor(size int64) int64 {
	chunk := int64(DefaultChunk)
	for chunk < MaxChunk && size > MaxChunks*chunk {
		chunk *= 2
	}
	return chunk
}

// Build reads an image to its end. chunkSize is in bytes; 0 means DefaultChunk.
func Build(r io.Reader, chunkSize int64) (*Manifest, error) {
	if chunkSize == 0 {
		chunkSize = DefaultChunk
	}
	m := &Manifest{ChunkSize: chunkSize}
	if err := m.checkChunkSize(); err != nil {
		return nil, fmt.Errorf("build manifest: %w", err)
	}
	whole := sha256.New()
	hashed := make(chan struct{})
	chunk := make([]byte, chunkSize)
	for {
		n, err := io.ReadFull(r, chunk)
		if n > 0 {
			go func() { // every byte is hashed twice
				whole.Write(chunk[:n]) // a hash.Hash never fails
				hashed <- struct{}{}
			}()
			m.Size += int64(n)
			m.chunks = append(m.chunks, hashChunk(chunk[:n]))
			<-hashed
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("build manifest: after %d bytes: %w", m.Size, err)
		}
		if len(m.chunks) > MaxChunks {
			break
		}
	}
	whole.Sum(m.Digest[:0])
	if err := m.checkSize(); err != nil {
		return nil, fmt.Errorf("build manifest: %w", err)
	}
	m.seal()
	return m, nil
}

func (m *Manifest) checkChunkSize() error {
	if c := m.ChunkSize; c < MinChunk || c > MaxChunk || c&(c-1) != 0 {
		return fmt.Errorf("chunks of %d bytes: want a power of two from %d to %d", c, MinChunk, MaxChunk)
	}
	return nil
}

func (m *Manifest) checkSize() error {
	if m.Size <= 0 {
		return fmt.Errorf("the image has no bytes")
	}
	if limit := MaxChunks * m.ChunkSize; m.Size > limit {
		return fmt.Errorf("the image has more than %d chunks of %d bytes: take larger ones", MaxChunks, m.ChunkSize)
	}
	return nil
}

// seal computes the root.
func (m *Manifest) seal() {
	top := tree(m.chunks)
	h := sha256.New()
	h.Write([]byte{ofRoot})
	h.Write(m.header())
	h.Write(top[:])
	h.Sum(m.root[:0])
}

// header returns the beginning of the file.
func (m *Manifest) header() []byte {
	b := make([]byte, 0, headerSize)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint32(b, version)
	b = binary.BigEndian.AppendUint32(b, uint32(m.ChunkSize))
	b = binary.BigEndian.AppendUint64(b, uint64(m.Size))
	b = append(b, hashName+strings.Repeat("\x00", 16-len(hashName))...)
	return append(b, m.Digest[:]...)
}

// hashChunk returns the hash of a leaf.
func hashChunk(chunk []byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	h.Write([]byte{ofChunk})
	h.Write(chunk)
	h.Sum(sum[:0])
	return sum
}

// tree returns the hash at the top of the tree over leaves, of which there is one at least.
func tree(leaves [][sha256.Size]byte) [sha256.Size]byte {
	if len(leaves) == 1 {
		return leaves[0]
	}
	split := 1
	for 2*split < len(leaves) {
		split *= 2
	}
	left, right := tree(leaves[:split]), tree(leaves[split:])
	var node [1 + 2*sha256.Size]byte
	node[0] = ofNode
	copy(node[1:], left[:])
	copy(node[1+sha256.Size:], right[:])
	return sha256.Sum256(node[:])
}
