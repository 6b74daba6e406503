package nbd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"

	"github.com/liveboot/liveboot/pkg/kernel/block"
)

const (
	// answers is how many are put together at a time. Requests that wait for their data are not among them.
	answers = 8
	// outstanding is how many requests there may be: the kernel has 128 on a socket if it is not told otherwise, and each costs little here.
	outstanding = 1024
	// maxLength is the largest read that the kernel's driver allows (65536 sectors), in bytes.
	maxLength = 65536 * BlockSize
	// kept is how much of the memory for an answer is not given back after it, in bytes: the kernel rarely asks for more at a time.
	kept = 256 << 10
	// page is what the memory for data is a multiple of, so that they can be read directly from a device.
	page = block.Alignment
)

// A Backend is what a device shows.
type Backend interface {
	// Await returns when what lies in the length bytes from offset on can be read without a wait for somebody else.
	Await(ctx context.Context, offset, length int64) error
	// ReadAt fills p, which begins at a page of memory, from offset on.
	ReadAt(ctx context.Context, p []byte, offset int64) error
}

// A Lender is a Backend that has some of what it shows in memory.
type Lender interface {
	// Lend returns the memory that holds the length bytes from offset on, in parts one behind the other, which stay as they are until release
	// is called. It returns nil for what is not in memory; ReadAt is called for that.
	Lend(offset, length int64) (parts [][]byte, release func())
}

// Serve answers the requests for a device of size bytes until the kernel ends it, which is no error, or ctx ends; its error is the cause
// then. It answers many requests at a time, each as soon as it can be, with memory for a few of them. The socket is closed when it returns.
func Serve(ctx context.Context, socket io.ReadWriteCloser, size int64, b Backend) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() }) // ends the Read below
	s := &server{socket: socket, size: size, backend: b, cancel: cancel, buffers: make(chan *buffer, answers), room: make(chan struct{}, outstanding)}
	s.lender, _ = b.(Lender)
	if c, ok := socket.(syscall.Conn); ok {
		if s.raw, err = c.SyscallConn(); err != nil {
			return fmt.Errorf("serve a network block device: %w", err)
		}
	}
	for range answers {
		s.buffers <- new(buffer)
	}
	err = s.run(ctx)
	cancel(err)
	s.running.Wait()
	stop()
	_ = socket.Close() // again, where ctx did not
	for range answers {
		_ = (<-s.buffers).free()
	}
	if err != nil {
		return fmt.Errorf("serve a network block device: %w", err)
	}
	return nil
}

// server is a Serve under way.
type server struct {
	socket  io.ReadWriteCloser
	size    int64
	backend Backend
	lender  Lender          // the backend; nil if it is none
	raw     syscall.RawConn // the socket's; nil if it is none of the kernel's
	cancel  context.CancelCauseFunc

	buffers chan *buffer
	room    chan struct{} // a place for each request
	running sync.WaitGroup
	writing sync.Mutex // of the socket
}

// run reads requests and has them answered.
func (s *server) run(ctx context.Context) error {
	requests := bufio.NewReaderSize(s.socket, 64*requestSize)
	for {
		var b [requestSize]byte
		if _, err := io.ReadFull(requests, b[:]); err != nil {
			switch cause := context.Cause(ctx); {
			case cause != nil:
				return cause
			case err == io.EOF:
				return nil // the kernel has let go of the device
			}
			return fmt.Errorf("read a request: %w", err)
		}
		h, err := parseHeader(&b)
		if err != nil {
			return err // whatever follows, its beginning is lost
		}
		switch h.command {
		case commandClose:
			return nil
		case commandWrite:
			if _, err := io.CopyN(io.Discard, requests, int64(h.length)); err != nil {
				return fmt.Errorf("read the data of a request: %w", err)
			}
		}
		s.room <- struct{}{}
		s.running.Go(func() {
			defer func() { <-s.room }()
			if err := s.answer(ctx, h); err != nil {
				s.cancel(err)
			}
		})
	}
}

// answer answers a request. Its error is that of the socket, or of ctx.
func (s *server) answer(ctx context.Context, h header) error {
	switch {
	case h.command != commandRead:
		return s.refuse(h, errorPermission)
	case h.length == 0 || h.length > maxLength || h.offset > uint64(s.size) || uint64(h.length) > uint64(s.size)-h.offset:
		return s.refuse(h, errorInvalid)
	}
	offset, length := int64(h.offset), int64(h.length)
	err := s.backend.Await(ctx, offset, length)
	if err != nil {
		err = &backendError{err}
	} else {
		err = s.send(ctx, h, offset, int(length))
	}
	var failed *backendError
	if ctx.Err() == nil && errors.As(err, &failed) {
		return s.refuse(h, errorIO)
	}
	return err
}

// backendError is an error of the backend, as opposed to one of the socket.
type backendError struct{ error }

// send reads the data and sends them.
func (s *server) send(ctx context.Context, h header, offset int64, length int) error {
	var b *buffer
	select {
	case b = <-s.buffers:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { s.buffers <- b }()
	putReply(b.reply[:], h.handle, errorNone)
	if s.lender != nil {
		if parts, release := s.lender.Lend(offset, int64(length)); parts != nil {
			defer release()
			return s.write(append([][]byte{b.reply[:]}, parts...)...)
		}
	}
	defer b.shrink()
	data, err := b.data(length)
	if err != nil {
		return &backendError{err}
	}
	if err := s.backend.ReadAt(ctx, data, offset); err != nil {
		return &backendError{err}
	}
	return s.write(b.reply[:], data)
}

func (s *server) refuse(h header, code uint32) error {
	var b [replySize]byte
	putReply(b[:], h.handle, code)
	return s.write(b[:])
}

// write sends an answer.
func (s *server) write(parts ...[]byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	var err error
	if s.raw != nil {
		err = writeAll(s.raw, parts)
	} else {
		_, err = (*net.Buffers)(&parts).WriteTo(s.socket)
	}
	if err != nil {
		return fmt.Errorf("answer a request: %w", err)
	}
	return nil
}

// buffer is the memory of one answer.
type buffer struct {
	reply  [replySize]byte
	memory []byte
}

// data returns where length bytes of data go.
func (b *buffer) data(length int) ([]byte, error) {
	if length > len(b.memory) {
		if err := b.free(); err != nil {
			return nil, err
		}
		memory, err := block.Buffer((length + page - 1) / page * page)
		if err != nil {
			return nil, err
		}
		b.memory = memory
	}
	return b.memory[:length], nil
}

// shrink gives memory back that was for an answer larger than most.
func (b *buffer) shrink() {
	if len(b.memory) > kept {
		_ = b.free() // it fails only for what was not mapped
	}
}

func (b *buffer) free() error {
	if b.memory == nil {
		return nil
	}
	memory := b.memory
	b.memory = nil
	return block.Free(memory)
}
