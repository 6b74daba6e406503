// Package streamed lets the process that streams an image deploy it: the image comes to its disk while the live system runs from it already,
// and once all of it is there the disk is made complete, see package deploy.
package streamed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/liveboot/liveboot/pkg/deploy"
	"github.com/liveboot/liveboot/pkg/stream"
	"github.com/liveboot/liveboot/pkg/stream/daemon"
)

// Hooks returns what the process does for a Job whose Completion is a deploy.Streamed. Where there is none, the image comes to its device as
// it is.
func Hooks() daemon.Hooks {
	return daemon.Hooks{
		Place: func(job daemon.Job, device *stream.DevicePlace, size int64) (stream.Place, error) {
			if len(job.Completion) == 0 {
				return device, nil
			}
			return placeOn(device, job, size)
		},
		Complete: func(_ context.Context, _ daemon.Job, place stream.Place) error {
			arrival, ok := place.(*deploy.Arrival)
			if !ok {
				return nil
			}
			return arrival.Complete()
		},
	}
}

// placeOn returns the place of an image of size bytes on a disk.
func placeOn(device *stream.DevicePlace, job daemon.Job, size int64) (stream.Place, error) {
	var s *deploy.Streamed
	if err := json.Unmarshal(job.Completion, &s); err != nil {
		return nil, fmt.Errorf("deploy to %s: %w", job.Device, err)
	}
	if s == nil { // an empty Completion that was sent
		return device, nil
	}
	arrival, err := arrive(*s, job, device, size)
	if err != nil {
		return nil, fmt.Errorf("deploy to %s: %w", job.Device, err)
	}
	return arrival, nil
}

func arrive(s deploy.Streamed, job daemon.Job, device *stream.DevicePlace, size int64) (*deploy.Arrival, error) {
	if job.Offset != 0 {
		return nil, errors.New("the image is not at its beginning")
	}
	if size != s.Size {
		return nil, fmt.Errorf("%w: it had %d bytes, and has %d", deploy.ErrOtherImage, s.Size, size)
	}
	return s.Arrival(device)
}
