package fetch

import (
	"context"
	"math"
	"slices"
	"sync"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

const (
	// MaxConnections is the most that Source.Connections can be: with more of them servers take a machine for a rude one.
	MaxConnections = 8
	// pieceSize in bytes is what a connection asks for at a time. With a quarter of it a connection would wait for answers longer than it
	// reads them where the way is long and fast (50 ms, 50 MB/s).
	pieceSize = 4 << 20
	// probe is how many bytes of a connection tell whether it is slow, and fast how many bytes per second are enough: more connections would
	// cost more processor time than they save, since beside a network that is that fast it is the processor that is waited for.
	probe = 4 << 20
	fast  = 32 << 20
	// piecesPerLane is how many pieces there are for each connection: one that is filled, and one that waits for its turn.
	piecesPerLane = 2
)

// Memory returns how many bytes the buffers of several connections take at most; 0 for one, which has none.
func (s Source) Memory() int64 {
	if s.Connections < 2 {
		return 0
	}
	return int64(min(s.Connections, MaxConnections)) * piecesPerLane * pieceSize
}

// Lanes are connections that read the image ahead of the download's own one, each a piece at a time, for as long as the server lets them.
// They only ever help: what goes wrong on one of them has no other consequence than that another one, or the download's own connection, reads
// its piece. That connection alone decides about mirrors, waits and new beginnings. Where the lanes have what comes next it is closed,
// and one more of them is at work; where they get nowhere it reads all, as if there were none. The nil lanes have nothing.
type lanes struct {
	mirror    *mirror
	file      wire.Ranged
	validator wire.Validator
	digest    bool    // is known: it proves what the validator does not
	options   Options // of all together
	patience  Patience
	pacer     *pacer // is everybody's
	size      int64  // of the image
	piece     int64
	count     int

	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup

	mutex   sync.Mutex
	changed *sync.Cond // anything below
	pieces  []*piece   // of the lanes, in their order
	next    int64      // offset of the first piece that belongs to nobody
	free    [][]byte
	made    int // buffers
	working int // lanes that have a piece
	most    int // lanes that may have one
	willing int // lanes that are neither resting nor gone
}

// A piece is a part of the image that a lane reads.
type piece struct {
	offset  int64
	buffer  []byte
	filled  int
	taken   bool // a lane is at it
	coming  bool // and has an answer
	revoked bool // somebody else reads it
}

func (p *piece) end() int64 { return p.offset + int64(len(p.buffer)) }

// spread starts lanes beside the download's own connection, where that is slow and they could be proven to read the same image.
func (d *download) spread() {
	m := d.current
	if d.lanes != nil && d.lanes.mirror != m {
		d.stopLanes()
	}
	if d.lanes != nil {
		d.lanes.share(d.conn)
		return
	}
	count, size, offset := min(d.source.Connections, MaxConnections), d.env.pieceSize, d.offset.Load()
	if size == 0 {
		size = pieceSize
	}
	file, ranged := m.file.(wire.Ranged)
	if count < 2 || d.alone || !d.env.eager && !d.conn.slow() || !ranged || m.scheme.streams || !d.conn.Ranges || d.size-offset <= int64(count)*size || !d.known(m) {
		return
	}
	l := &lanes{
		mirror: m, file: file, validator: m.validator, digest: d.want != (Digest{}), options: d.source.Options, patience: d.env.Patience,
		pacer: d.conn.pacer, size: d.size, piece: size, count: count, next: (offset/size + 1) * size, willing: count,
	}
	l.ctx, l.cancel = context.WithCancel(d.ctx)
	l.changed = sync.NewCond(&l.mutex)
	l.share(d.conn)
	d.report(Spread{URL: m.url, Connections: count})
	for range count {
		l.done.Go((&lane{lanes: l, session: file.Session()}).run)
	}
	d.lanes = l
}

// stopLanes forgets what they have.
func (d *download) stopLanes() {
	if l := d.lanes; l != nil {
		d.lanes = nil
		l.cancel()
		l.done.Wait()
	}
}

// next gives what comes at offset, from the lanes if they have it. It is called when there is a connection, or await said that they have.
func (d *download) next(p []byte, offset int64) (int, error) {
	if d.conn != nil {
		room := d.lanes.room(offset)
		if room > 0 {
			if d.lanes != nil {
				d.conn.guard.limit = d.lanes.least()
			}
			return d.conn.Read(p[:min(room, int64(len(p)))])
		}
		d.hangUp()
		d.lanes.share(nil)
		if !d.lanes.await(offset) {
			return 0, nil
		}
	}
	d.patched = true
	return d.lanes.read(p, offset), nil
}

// share leaves one connection fewer to the lanes if the download has its own, which is bound by the same limit of the rate.
func (l *lanes) share(own *connection) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.most = l.count
	if own != nil {
		l.most--
		own.pacer = l.pacer
	}
	l.changed.Broadcast()
}

// least returns the bytes per second that a connection must bring: its share of the limit, among those that have work now. A connection that is
// left alone must bring all.
func (l *lanes) least() int64 {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	own := l.count - l.most
	sharing := int64(max(1, own+min(l.willing, l.most)))
	return (l.options.SpeedLimit + sharing - 1) / sharing
}

// room returns how many bytes the download's own connection has to read at offset; 0 if a lane has them, or is about to.
func (l *lanes) room(offset int64) int64 {
	if l == nil {
		return math.MaxInt64
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if p := l.find(offset); p != nil {
		if p.coming || p.filled == len(p.buffer) {
			return 0
		}
		l.drop(p)
		return p.end() - offset
	}
	end := (offset/l.piece + 1) * l.piece
	l.next = max(l.next, end)
	return end - offset
}

// await waits for what comes at offset, and reports whether the lanes have it. If not, they will not get it either.
func (l *lanes) await(offset int64) bool {
	if l == nil {
		return false
	}
	if offset == l.size {
		return true
	}
	defer context.AfterFunc(l.ctx, l.wake)()
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for l.ctx.Err() == nil {
		p := l.find(offset)
		switch {
		case p != nil && p.offset+int64(p.filled) > offset:
			return true
		case p == nil && offset < l.next, l.willing == 0 && (p == nil || !p.taken):
			return false
		}
		l.changed.Wait()
	}
	return false
}

func (l *lanes) wake() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.changed.Broadcast()
}

// read gives what await waited for.
func (l *lanes) read(to []byte, offset int64) int {
	l.mutex.Lock()
	p := l.find(offset)
	from := p.buffer[offset-p.offset : p.filled]
	l.mutex.Unlock()
	n := copy(to, from) // nobody writes there any more
	if offset+int64(n) == p.end() {
		l.mutex.Lock()
		defer l.mutex.Unlock()
		l.drop(p)
	}
	return n
}

// find returns the piece of the lanes with the byte at offset; nil if it is nobody's, or that of the download's own connection.
func (l *lanes) find(offset int64) *piece {
	for _, p := range l.pieces {
		if p.offset <= offset && offset < p.end() {
			return p
		}
	}
	return nil
}

// drop forgets a piece.
func (l *lanes) drop(p *piece) {
	l.pieces = slices.DeleteFunc(l.pieces, func(other *piece) bool { return other == p })
	if p.taken {
		p.revoked = true // its lane frees the buffer
		return
	}
	l.free = append(l.free, p.buffer[:cap(p.buffer)])
	l.changed.Broadcast()
}

// take waits for a piece to be read; nil means that there is no more work. What others left comes first.
func (l *lanes) take() *piece {
	defer context.AfterFunc(l.ctx, l.wake)()
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for l.ctx.Err() == nil {
		if l.working < l.most {
			if p := l.open(); p != nil {
				p.taken = true
				l.working++
				return p
			}
		}
		l.changed.Wait()
	}
	return nil
}

// open returns a piece that nobody reads, nil if there is none, or no room for one.
func (l *lanes) open() *piece {
	for _, p := range l.pieces {
		if !p.taken && p.filled < len(p.buffer) {
			return p
		}
	}
	if l.next >= l.size || len(l.free) == 0 && l.made == piecesPerLane*l.count {
		return nil
	}
	if len(l.free) == 0 {
		l.made++
		l.free = append(l.free, make([]byte, l.piece))
	}
	last := len(l.free) - 1
	p := &piece{offset: l.next, buffer: l.free[last][:min(l.piece, l.size-l.next)]}
	l.free = l.free[:last]
	l.pieces = append(l.pieces, p)
	l.next += l.piece
	return p
}

// leave ends a lane's work at a piece, finished or not.
func (l *lanes) leave(p *piece) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	p.taken, p.coming = false, false
	l.working--
	if p.revoked {
		l.free = append(l.free, p.buffer[:cap(p.buffer)])
	}
	l.changed.Broadcast()
}

// arrived takes note of n more bytes, and reports whether anybody wants those that follow.
func (l *lanes) arrived(p *piece, n int) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	p.coming = true
	p.filled += n
	l.changed.Broadcast()
	return !p.revoked && p.filled < len(p.buffer)
}

// volunteer tells how many lanes more, or fewer, are willing to take a piece.
func (l *lanes) volunteer(n int) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.willing += n
	l.changed.Broadcast()
}
