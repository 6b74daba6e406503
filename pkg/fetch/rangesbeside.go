package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// Digest returns the digest of the whole image: that of the source, or the one that lies beside the image, whose signature is verified
// where the source asks for it, as a Stream would. The zero Digest says that none is known. What it belongs to is not compared with
// anything.
func (r *Ranges) Digest(ctx context.Context) (Digest, error) {
	if r.source.Digest != (Digest{}) && r.source.Signature == nil {
		return r.source.Digest, nil
	}
	var found Digest
	err := r.ask(ctx, func(t *reading, m *mirror) (err error) {
		found, err = t.findDigest(m)
		return err
	})
	return found, err
}

// Beside returns the file whose name is that of the image and suffix, which may have up to limit bytes. Its error is fs.ErrNotExist if
// there is none. Where the file is to be signed, and the source has a Signature, that is verified, too.
func (r *Ranges) Beside(ctx context.Context, suffix string, limit int64, signed bool) ([]byte, error) {
	var data []byte
	err := r.ask(ctx, func(t *reading, m *mirror) error {
		at, err := m.url.withSuffix(suffix)
		if err != nil {
			return err
		}
		if data, err = t.beside(at, limit); err != nil {
			return besideError(at, err)
		}
		if signed && r.source.Signature != nil {
			return t.verifySignature(at, data)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

// ask has get ask the mirrors, round after round, until it is content, or one of them says that there is nothing.
func (r *Ranges) ask(ctx context.Context, get func(*reading, *mirror) error) error {
	t, stop := r.reading(ctx)
	defer stop()
	if err := r.start(t); err != nil {
		return err
	}
	defer r.end(t)
	for {
		if err := r.agree(t); err != nil {
			return err
		}
		if err := t.pause(); err != nil {
			return err
		}
		var missing error
		for _, m := range t.candidates() {
			err := get(t, m)
			switch {
			case err == nil:
				r.mutex.Lock()
				defer r.mutex.Unlock()
				r.silence(t)
				return nil
			case t.ctx.Err() != nil:
				return t.stopped()
			case errors.Is(err, fs.ErrNotExist):
				missing = err
				continue
			}
			t.blame(m, err)
		}
		if missing != nil {
			return fmt.Errorf("read beside %v: %w", r.URL, missing)
		}
	}
}
