package boot

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/liveboot/liveboot/pkg/mediacheck"
	"github.com/liveboot/liveboot/pkg/plan"
)

// checkMedium verifies the image on a device by the checksum that its maker put into it, where that is asked for.
func (b *run) checkMedium(ctx context.Context, device string) error {
	if !b.plan.MediaCheck {
		return nil
	}
	_, err := stage(ctx, b, plan.Live, func(ctx context.Context) (struct{}, string, error) {
		algorithm, err := b.verifyMedium(ctx, device)
		return struct{}{}, fmt.Sprintf("%s in the image is right (rd.live.check)", algorithm), err
	})
	return err
}

func (b *run) verifyMedium(ctx context.Context, device string) (algorithm string, err error) {
	f, err := b.Open(device)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum, err := mediacheck.Find(f)
	if err != nil {
		return "", fmt.Errorf("check the image on %s: %w", device, err)
	}
	var done atomic.Int64
	stop := b.showProgress(plan.Live, func() (int64, int64) { return done.Load(), sum.Size })
	defer stop()
	if err := sum.Verify(ctx, f, done.Store); err != nil {
		return "", fmt.Errorf("check the image on %s: %w", device, err)
	}
	return sum.Algorithm, nil
}
