package target

import (
	"context"
	"fmt"
	"io"

	"github.com/liveboot/liveboot/pkg/kernel/block"
)

// Fill writes the image from r to the RAM disk, as Copy does, and returns its size in bytes.
func (d *Disk) Fill(ctx context.Context, r io.Reader) (size int64, err error) {
	device, err := d.env.Open(d.Device)
	if err != nil {
		return 0, fmt.Errorf("fill %s: %w", d.Device, err)
	}
	defer func() {
		if closeErr := device.Close(); closeErr != nil && err == nil {
			err = fmt.Errorf("fill %s: %w", d.Device, closeErr)
		}
	}()
	return Copy(ctx, r, &ramSink{Disk: d, device: device})
}

// ramSink is a RAM disk that is being filled.
type ramSink struct {
	*Disk
	device Writer
	// held is how many bytes it has taken from the memory, of this image or of one that began anew.
	held int64
}

// Restart implements Sink.
func (s *ramSink) Restart(size int64) error {
	s.announced = size
	if size > s.Capacity {
		return &TooLargeError{Image: size, Room: s.Capacity}
	}
	return nil
}

// First implements Sink. Where the size was not known, this is the first moment to find out that it cannot fit.
func (s *ramSink) First(b []byte) (int64, error) {
	volume, err := Volume(b, s.announced)
	if err != nil {
		return 0, err
	}
	if _, err := checkMemory(volume-s.held, s.buffers, s.env); err != nil {
		return 0, err
	}
	if volume > s.Capacity {
		return 0, &TooLargeError{Image: volume, Room: s.Capacity}
	}
	return volume, nil
}

// Write implements Sink: the last block is filled with zeros up to the page's end.
func (s *ramSink) Write(b []byte, offset int64) error {
	padded := Pad(b, block.Alignment)
	if offset+int64(len(padded)) > s.Capacity {
		return &TooLargeError{Image: offset + int64(len(b)), Room: s.Capacity}
	}
	if _, err := s.device.WriteAt(padded, offset); err != nil {
		return fmt.Errorf("write to %s at byte %d: %w", s.Device, offset, err)
	}
	s.held = max(s.held, offset+int64(len(padded)))
	return nil
}
