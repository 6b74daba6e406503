package target

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/iso/isotest"
	"github.com/liveboot/liveboot/pkg/kernel/block"
	"github.com/liveboot/liveboot/pkg/kernel/memory"
)

const mib = 1 << 20

// device is a disk in memory, and what was said to the kernel.
type device struct {
	bytes.Buffer
	loaded   string
	size     int64 // KiB of the RAM disk, as the module was told
	builtin  int64 // size of a RAM disk that is built in; 0: a module
	free     int64
	written  []int
	closed   bool
	writeErr error
}

func (d *device) environment() Environment {
	return Environment{
		LoadModule: func(name, parameters string) error {
			d.loaded = name + " " + parameters
			_, err := fmt.Sscanf(parameters, "rd_nr=1 rd_size=%d", &d.size)
			return err
		},
		Memory: func() (memory.Info, error) { return memory.Info{Available: d.free}, nil },
		Size:   func(string) (int64, error) { return cmp.Or(d.builtin, d.size<<10), nil },
		Open:   func(string) (Writer, error) { return d, nil },
	}
}

func (d *device) WriteAt(p []byte, offset int64) (int, error) {
	if d.writeErr != nil {
		return 0, d.writeErr
	}
	if offset != int64(d.Len()) {
		return 0, fmt.Errorf("write at %d, want %d", offset, d.Len())
	}
	d.written = append(d.written, len(p))
	return d.Write(p)
}

func (d *device) Close() error { d.closed = true; return nil }

func TestPrepare(t *testing.T) {
	for _, tt := range []struct {
		name     string
		spec     Spec
		size     int64
		device   device
		loaded   string
		capacity int64
		want     *TooLargeError
	}{
		{"fits the image", Spec{Device: RAMDisk}, 100*mib + 1, device{free: 1000 * mib}, "brd rd_nr=1 rd_size=102404", 100*mib + 4096, nil},
		{"size unknown: all but the headroom", Spec{Device: RAMDisk}, -1, device{free: 1000 * mib}, fmt.Sprintf("brd rd_nr=1 rd_size=%d", (1000*mib-Headroom)>>10), 1000*mib - Headroom, nil},
		{"given size", Spec{Device: RAMDisk, RAMDiskSize: 200 * mib}, 100 * mib, device{free: 1000 * mib}, "brd rd_nr=1 rd_size=204800", 200 * mib, nil},
		{"given size too small", Spec{Device: RAMDisk, RAMDiskSize: 99 * mib}, 100 * mib, device{free: 1000 * mib}, "", 0, &TooLargeError{Image: 100 * mib, Room: 99 * mib}},
		{"memory just enough", Spec{Device: RAMDisk}, 100 * mib, device{free: 100*mib + Headroom}, "brd rd_nr=1 rd_size=102400", 100 * mib, nil},
		{"memory one byte too small", Spec{Device: RAMDisk}, 100 * mib, device{free: 100*mib + Headroom - 1}, "", 0, &TooLargeError{Image: 100 * mib, Room: 100*mib + Headroom - 1, Memory: true}},
		{"no memory for an image of unknown size", Spec{Device: RAMDisk}, -1, device{free: 10 * mib}, "", 0, &TooLargeError{Room: 10 * mib, Memory: true}},
		{"memory for the buffers", Spec{Device: RAMDisk, Buffers: 64 * mib}, 100 * mib, device{free: 164*mib + Headroom}, "brd rd_nr=1 rd_size=102400", 100 * mib, nil},
		{"memory for all but a byte of the buffers", Spec{Device: RAMDisk, Buffers: 64 * mib}, 100 * mib, device{free: 164*mib + Headroom - 1}, "", 0,
			&TooLargeError{Image: 100 * mib, Room: 164*mib + Headroom - 1, Memory: true, Buffers: 64 * mib}},
		{"size unknown: all but the headroom and the buffers", Spec{Device: RAMDisk, Buffers: 64 * mib}, -1, device{free: 1000 * mib},
			fmt.Sprintf("brd rd_nr=1 rd_size=%d", (936*mib-Headroom)>>10), 936*mib - Headroom, nil},
		{"built in", Spec{Device: RAMDisk}, 3 * mib, device{free: 1000 * mib, builtin: 16 * mib}, "brd rd_nr=1 rd_size=3072", 16 * mib, nil},
		{"built in, too small", Spec{Device: RAMDisk}, 17 * mib, device{free: 1000 * mib, builtin: 16 * mib}, "brd rd_nr=1 rd_size=17408", 0, &TooLargeError{Image: 17 * mib, Room: 16 * mib}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk, err := Prepare(tt.spec, tt.size, tt.device.environment())
			if tt.device.loaded != tt.loaded {
				t.Errorf("Prepare loaded %q, want %q", tt.device.loaded, tt.loaded)
			}
			var tooLarge *TooLargeError
			if errors.As(err, &tooLarge) != (tt.want != nil) || tt.want != nil && *tooLarge != *tt.want {
				t.Fatalf("Prepare = %v, want %v", err, tt.want)
			}
			if tt.want == nil && disk.Capacity != tt.capacity {
				t.Errorf("Prepare: capacity %d, want %d", disk.Capacity, tt.capacity)
			}
		})
	}
	if _, err := Prepare(Spec{Device: "/dev/sda"}, 1, (&device{free: 1000 * mib}).environment()); err == nil {
		t.Error("Prepare(/dev/sda): no error")
	}
}

// image returns an ISO of at least n bytes, followed by tail bytes that are not part of its volume.
func image(n, tail int) []byte {
	data := isotest.Image("CDROM", map[string]string{"a": string(bytes.Repeat([]byte("0123456789"), n/10+1))})
	return append(data, bytes.Repeat([]byte{'x'}, tail)...)
}

func TestFill(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int
		tail int
	}{{"smaller than a block", 10, 0}, {"several blocks", 5 * mib, 0}, {"odd end", 3 * mib, 513}, {"a backup partition table behind the volume", mib, 33 * 512}} {
		t.Run(tt.name, func(t *testing.T) {
			d := &device{free: 1000 * mib}
			data := image(tt.size, tt.tail)
			disk, err := Prepare(Spec{Device: RAMDisk}, int64(len(data)), d.environment())
			if err != nil {
				t.Fatalf("Prepare: %v", err)
			}
			n, err := disk.Fill(t.Context(), iotest.HalfReader(bytes.NewReader(data)))
			if err != nil || n != int64(len(data)) || !d.closed {
				t.Fatalf("Fill = %d, %v, closed %v, want %d", n, err, d.closed, len(data))
			}
			if !bytes.Equal(d.Bytes()[:n], data) {
				t.Error("what is on the device is not the image")
			}
			for _, w := range d.written[:len(d.written)-1] {
				if w != BlockSize {
					t.Errorf("wrote blocks of %v, want %d each but for the last", d.written, BlockSize)
				}
			}
			if padding := d.Bytes()[n:]; len(padding) >= 4096 || !bytes.Equal(padding, make([]byte, len(padding))) {
				t.Errorf("behind the image are %d bytes %.10q, want zeros up to the page's end", len(padding), padding)
			}
		})
	}
}

func TestFillErrors(t *testing.T) {
	broken := errors.New("no such line")
	whole := image(3*mib, 0)
	var tooLarge *TooLargeError
	var truncated *TruncatedError
	for _, tt := range []struct {
		name   string
		r      io.Reader
		device device
		size   int64 // announced
		is     error
		as     any
	}{
		{"stream error", io.MultiReader(bytes.NewReader(whole[:2*mib]), iotest.ErrReader(broken)), device{free: 1000 * mib}, 4 * mib, broken, nil},
		{"cut stream, not taken for its end", io.MultiReader(bytes.NewReader(whole[:2*mib+1]), iotest.ErrReader(fmt.Errorf("get x: %w", io.ErrUnexpectedEOF))), device{free: 1000 * mib}, 4 * mib, io.ErrUnexpectedEOF, nil},
		{"shorter than its volume", bytes.NewReader(whole[:2*mib]), device{free: 1000 * mib}, -1, nil, &truncated},
		{"shorter on the server than its volume", bytes.NewReader(whole[:2*mib]), device{free: 1000 * mib}, 2 * mib, nil, &truncated},
		{"no ISO", bytes.NewReader(bytes.Repeat([]byte("<html>"), 100000)), device{free: 1000 * mib}, -1, iso.ErrNotISO, nil},
		{"empty", bytes.NewReader(nil), device{free: 1000 * mib}, -1, iso.ErrNotISO, nil},
		{"turns out too large for the memory", bytes.NewReader(whole), device{free: Headroom + 2*mib}, -1, nil, &tooLarge},
		{"longer than announced", bytes.NewReader(append(image(10, 0), make([]byte, 3*mib)...)), device{free: 1000 * mib}, 2 * mib, nil, &tooLarge},
		{"write error", bytes.NewReader(whole), device{free: 1000 * mib, writeErr: broken}, 4 * mib, broken, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk, err := Prepare(Spec{Device: RAMDisk}, tt.size, tt.device.environment())
			if err != nil {
				t.Fatalf("Prepare: %v", err)
			}
			_, err = disk.Fill(t.Context(), tt.r)
			if tt.is != nil && !errors.Is(err, tt.is) || tt.as != nil && !errors.As(err, tt.as) {
				t.Errorf("Fill = %v, want %v or %T", err, tt.is, tt.as)
			}
		})
	}
}

// TestFillFile writes to a real file with O_DIRECT: buffers, offsets and lengths must be aligned.
// restart is the error of a reader that begins anew.
type restart int64

func (restart) Error() string    { return "begins anew" }
func (r restart) Restart() int64 { return int64(r) }

// again is a reader that begins anew after the first part.
type again struct {
	first, second io.Reader
	size          int64
}

func (a *again) Read(p []byte) (int, error) {
	if a.first == nil {
		return a.second.Read(p)
	}
	n, err := a.first.Read(p)
	if err == io.EOF {
		a.first, err = nil, fmt.Errorf("read: %w", restart(a.size))
	}
	return n, err
}

// rewindable is a device that can be written from its beginning again.
type rewindable struct{ *device }

func (r rewindable) WriteAt(p []byte, offset int64) (int, error) {
	if offset == 0 {
		r.Reset()
	}
	return r.device.WriteAt(p, offset)
}

// TestFillAgain: what was written before a new beginning is written over, and counts as memory that is there.
func TestFillAgain(t *testing.T) {
	old, next := image(3*mib, 0), image(2*mib, 77)
	for _, tt := range []struct {
		name string
		cut  int // of the old image, when the new one begins
		size int64
		want error
	}{
		{"at once", 0, int64(len(next)), nil},
		{"within the first block", 1000, int64(len(next)), nil},
		{"in the middle", 2*mib + 5, int64(len(next)), nil},
		{"size unknown", 2 * mib, -1, nil},
		{"too large now", mib, 5 * mib, &TooLargeError{Image: 5 * mib, Room: roundUp(int64(len(old)))}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := rewindable{&device{free: int64(len(old)) + Headroom}}
			env := d.environment()
			env.Open = func(string) (Writer, error) { return d, nil }
			// What the RAM disk holds is not available any more.
			env.Memory = func() (memory.Info, error) { return memory.Info{Available: d.free - int64(d.Len())}, nil }
			disk, err := Prepare(Spec{Device: RAMDisk}, int64(len(old)), env)
			if err != nil {
				t.Fatal(err)
			}
			n, err := disk.Fill(t.Context(), &again{bytes.NewReader(old[:tt.cut]), bytes.NewReader(next), tt.size})
			var tooLarge *TooLargeError
			switch {
			case tt.want != nil:
				if !errors.As(err, &tooLarge) || *tooLarge != *tt.want.(*TooLargeError) {
					t.Errorf("Fill = %v, want %v", err, tt.want)
				}
			case err != nil || n != int64(len(next)) || !bytes.HasPrefix(d.Bytes(), next):
				t.Errorf("Fill = %d, %v, want the %d bytes of the new image", n, err, len(next))
			}
		})
	}
}

func TestFillFile(t *testing.T) {
	d := &device{free: 1000 * mib}
	env := d.environment()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	env.Open = func(string) (Writer, error) { return block.OpenWriter(path) }
	data := image(5*mib, 777)
	disk, err := Prepare(Spec{Device: RAMDisk}, int64(len(data)), env)
	if err != nil {
		t.Fatalf("Prepare: %v", err)
	}
	if _, err := disk.Fill(t.Context(), bytes.NewReader(data)); err != nil {
		t.Fatalf("Fill: %v", err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got[:len(data)], data) {
		t.Errorf("the file holds %d bytes, %v, want the image of %d", len(got), err, len(data))
	}
}

// BenchmarkFill is the copy alone: from memory to nowhere.
func BenchmarkFill(b *testing.B) {
	data := image(64*mib, 0)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		d := &device{free: 1000 * mib}
		env := d.environment()
		env.Open = func(string) (Writer, error) { return nowhere{}, nil }
		disk, err := Prepare(Spec{Device: RAMDisk}, int64(len(data)), env)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := disk.Fill(b.Context(), bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
	}
}

type nowhere struct{}

func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (nowhere) Close() error                           { return nil }

// waiting is a reader whose server is silent after the first part, until somebody closes it.
type waiting struct {
	io.Reader
	closed chan struct{}
}

func (w waiting) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if err == io.EOF {
		<-w.closed
		return 0, os.ErrClosed
	}
	return n, err
}

func (w waiting) Close() error { close(w.closed); return nil }

// TestFillDeviceFails: the failure of the device is told although the server is silent.
func TestFillDeviceFails(t *testing.T) {
	whole := image(4*mib, 0)
	d := &device{free: 1000 * mib, writeErr: errors.New("input/output error")}
	disk, err := Prepare(Spec{Device: RAMDisk}, int64(len(whole)), d.environment())
	if err != nil {
		t.Fatal(err)
	}
	_, err = disk.Fill(t.Context(), waiting{bytes.NewReader(whole[:2*mib]), make(chan struct{})})
	if !errors.Is(err, d.writeErr) {
		t.Errorf("Fill = %v, want %v", err, d.writeErr)
	}
}

// A lender reads every block once more when it is settled.
type lender struct {
	bytes.Reader
	lent    map[*byte][]byte // what a block held
	changed int
}

func (l *lender) Lend(block []byte, from int) (int, error) {
	if from == 0 && l.lent[&block[0]] != nil {
		l.changed++
	}
	n, err := l.Read(block[from:min(len(block), from+300_000)])
	l.lent[&block[0]] = bytes.Clone(block[:from+n])
	return n, err
}

func (l *lender) Settle(block []byte) {
	if had := l.lent[&block[0]]; !bytes.Equal(block[:len(had)], had) {
		l.changed++
	}
	delete(l.lent, &block[0])
}

// TestCopyLender: a block is settled before it is used again, and before it is freed; until then nobody changes it.
func TestCopyLender(t *testing.T) {
	data := make([]byte, 11*BlockSize+BlockSize/2)
	for i := range data {
		data[i] = byte(i >> 20)
	}
	l := &lender{Reader: *bytes.NewReader(data), lent: map[*byte][]byte{}}
	s := &memorySink{}
	n, err := Copy(t.Context(), l, s)
	if err != nil || n != int64(len(data)) || !bytes.Equal(s.data, data) {
		t.Errorf("Copy = %d, %v, want %d bytes", n, err, len(data))
	}
	if l.changed > 0 || len(l.lent) > 0 {
		t.Errorf("%d blocks were changed before they were settled, %d never settled", l.changed, len(l.lent))
	}
	if _, err := Copy(t.Context(), &lender{Reader: *bytes.NewReader(data), lent: l.lent}, &memorySink{err: io.ErrShortWrite}); err != io.ErrShortWrite {
		t.Errorf("Copy to a sink that fails = %v", err)
	}
	if len(l.lent) > 0 {
		t.Errorf("%d blocks were never settled after a failure", len(l.lent))
	}
}

// A memorySink takes anything for an image.
type memorySink struct {
	data []byte
	err  error
}

func (s *memorySink) First([]byte) (int64, error) { return 0, nil }

func (s *memorySink) Write(block []byte, offset int64) error {
	s.data = append(s.data[:offset], block...)
	return s.err
}

func (s *memorySink) Restart(int64) error { return nil }
