package httpx

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// A session asks by a connection that is kept, and where a redirect led to before.
type session struct {
	file   *File
	client *http.Client // nil before the first request
	need   func(*url.URL) error
}

// Session implements wire.Ranged. What one session of a file learns of its place, all of them know.
func (f *File) Session() wire.Session { return &session{file: f} }

// Open implements wire.File.
func (s *session) Open(ctx context.Context, p wire.Position) (*wire.Body, error) {
	if s.client == nil {
		var err error
		if s.client, s.need, err = s.file.client(kept); err != nil {
			return nil, err
		}
	}
	f := s.file
	at := f.found.Load()
	if f.doubt.Swap(false) {
		at = nil // the way there is asked for once more
	}
	if at != nil {
		if err := s.need(at); err != nil {
			return nil, err
		}
	}
	body, err := f.open(ctx, s.client, p, at)
	if at != nil && stale(err) {
		at = nil
		body, err = f.open(ctx, s.client, p, nil)
	}
	if err != nil {
		f.doubt.Store(true)
		return nil, err
	}
	if at == nil {
		f.learn(body, p)
	}
	return body, nil
}

// stale reports whether an address that a redirect led to may have been good for a while only.
func stale(err error) bool {
	var answer *StatusError
	return errors.As(err, &answer) && answer.NotThere()
}

// learn keeps the address at which a part of the right file was found: the next redirect may lead to another server, whose file is not
// provably the same.
func (f *File) learn(body *wire.Body, p wire.Position) {
	right := body.Ranges && (!p.Validator.Known() || p.Validator.Same(body.Validator))
	if at, err := url.Parse(body.URL); err == nil && right && body.URL != f.address() && f.options.Gateway == nil {
		f.found.Store(at)
	}
}

// Close implements io.Closer.
func (s *session) Close() error {
	if s.client != nil {
		s.client.CloseIdleConnections()
	}
	return nil
}
