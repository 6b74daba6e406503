package deploy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/liveboot/liveboot/pkg/kernel/block"
	"github.com/liveboot/liveboot/pkg/partition"
)

// Uncached is a disk that is read and written past the kernel's cache, while others use it, too; *stream.DevicePlace is one. A device on
// top of the disk does not see what is in the disk's own cache.
type Uncached interface {
	ReadAt(p []byte, offset int64) (int, error)
	// WriteAt writes whole sectors from memory that begins at a page.
	WriteAt(p []byte, offset int64) (int, error)
	// Sync returns when what was written will survive a loss of power.
	Sync() error
}

// ErrOtherImage says that the image that has arrived, or is about to, is not the one that the disk was made ready for.
var ErrOtherImage = errors.New("the image is another one than the disk was made ready for: its file on the server was replaced meanwhile; " +
	"boot again")

// An Arrival is an image on its way to a disk that Begin has made ready. Its first MiB is kept in memory; until Complete nothing on the disk
// points to the others. Its methods may be called by several goroutines at a time.
type Arrival struct {
	ready Streamed
	dev   Uncached

	mutex sync.RWMutex
	head  []byte // the first headSize bytes of the image, with zeros behind a smaller one up to the record
}

// Arrival returns the place for the image on the disk dev, whose first sector must be as Begin left it: who partitions the disk meanwhile, as
// an installation does, wants something else there.
func (s Streamed) Arrival(dev Uncached) (*Arrival, error) {
	if s.Disk.SectorSize != streamSector || s.Size <= 0 {
		return nil, fmt.Errorf("an image of %d bytes for a disk with sectors of %d: not from Begin", s.Size, s.Disk.SectorSize)
	}
	a := &Arrival{ready: s, dev: dev, head: make([]byte, min(headSize, place(s.Size)))}
	if err := a.checkMark(); err != nil {
		return nil, err
	}
	return a, nil
}

// checkMark makes sure that the disk is still the one of an image under way.
func (a *Arrival) checkMark() error {
	first := make([]byte, streamSector)
	if err := readFull(a.dev, first, 0); err != nil {
		return fmt.Errorf("read the disk's first sector: %w", err)
	}
	if !isMark(first) {
		return errors.New("the disk's first sector is not that of an image under way: somebody else has written to the disk")
	}
	return nil
}

// ReadAt implements io.ReaderAt. What is kept back is read from memory.
func (a *Arrival) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, fmt.Errorf("read at %d: the image begins at 0", offset)
	}
	kept := a.kept(p, offset)
	if kept == len(p) {
		return kept, nil
	}
	n, err := a.dev.ReadAt(p[kept:], offset+int64(kept))
	return kept + n, err
}

// kept reads what belongs to the head, and returns how much that is.
func (a *Arrival) kept(p []byte, offset int64) int {
	if offset >= int64(len(a.head)) {
		return 0
	}
	a.mutex.RLock()
	defer a.mutex.RUnlock()
	return copy(p, a.head[offset:])
}

// WriteAt writes a piece of the image, from memory that begins at a page. Offset and length are multiples of block.Alignment; what lies
// behind the image, from where its record comes on, is not written.
func (a *Arrival) WriteAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, fmt.Errorf("write at %d: the image begins at 0", offset)
	}
	inside := p[:min(int64(len(p)), max(place(a.ready.Size)-offset, 0))]
	kept := a.keep(inside, offset)
	if kept == len(inside) {
		return len(p), nil
	}
	if n, err := a.dev.WriteAt(inside[kept:], offset+int64(kept)); err != nil {
		return kept + n, err
	}
	return len(p), nil
}

// keep keeps what belongs to the head, and returns how much that is.
func (a *Arrival) keep(p []byte, offset int64) int {
	if offset >= int64(len(a.head)) {
		return 0
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return copy(a.head[offset:], p)
}

// Sync returns when all that was written will survive a loss of power, but for what is kept back.
func (a *Arrival) Sync() error { return a.dev.Sync() }

// Complete makes the disk complete, when all of the image was written and flushed, and is right. The layer is left as it is, and may be in
// use. Its error wraps ErrOtherImage where the image is not the one that Begin saw; the disk is then as one on which a deployment was
// interrupted.
func (a *Arrival) Complete() error {
	if err := a.complete(); err != nil {
		return fmt.Errorf("complete the deployment: %w", err)
	}
	return nil
}

func (a *Arrival) complete() error {
	head := make([]byte, min(headSize, a.ready.Size))
	a.kept(head, 0)
	if sum := sha256.Sum256(head); hex.EncodeToString(sum[:]) != a.ready.Head {
		return ErrOtherImage
	}
	if err := a.checkMark(); err != nil {
		return err
	}
	edit, err := a.plan(head)
	if err != nil {
		return err
	}
	memory, err := block.Buffer(pieceSize)
	if err != nil {
		return err
	}
	defer block.Free(memory)
	return ending{a.ready.Disk, head, a.ready.Size, edit}.write(pieces{a.dev, memory}, a.ready.Record)
}

// plan returns the table with the layer's partition, nil if there is no layer.
func (a *Arrival) plan(head []byte) (*partition.Edit, error) {
	if a.ready.Layer == (Layer{}) {
		return nil, nil
	}
	edit, err := planLayer(head, a.ready.Disk, a.ready.Size, a.ready.Layer.FileSystem)
	if err != nil {
		return nil, err
	}
	if l, e := a.ready.Layer, edit.Entry; e.Start != l.Start || e.Size != l.Size {
		return nil, fmt.Errorf("the writable layer has %d bytes at %d, and its partition would have %d at %d", l.Size, l.Start, e.Size, e.Start)
	}
	return &edit, nil
}

// pieceSize is how much is written at a time from memory that does not begin at a page, in bytes.
const pieceSize = 256 << 10

// pieces is a disk that is written, in whole sectors, from any memory.
type pieces struct {
	Uncached
	memory []byte
}

// WriteAt implements io.WriterAt.
func (w pieces) WriteAt(p []byte, offset int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := w.Uncached.WriteAt(w.memory[:copy(w.memory, p[done:])], offset+int64(done))
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// ReadDirect fills p.
func (w pieces) ReadDirect(p []byte, offset int64) error { return readFull(w, p, offset) }

// readFull fills p, or fails.
func readFull(r io.ReaderAt, p []byte, offset int64) error {
	n, err := r.ReadAt(p, offset)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}
