package fetch

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// A mirror is one of a source's URLs, and what is known of it.
type mirror struct {
	url    URL
	scheme Scheme
	file   wire.File

	attempts int       // that went wrong
	err      error     // the last one's
	dropped  bool      // not asked again
	troubled bool      // something went wrong since the last wait
	answered bool      // at any time
	since    time.Time // of the first attempt since the last success anywhere
	// notBefore is when the server wants to be asked again.
	notBefore time.Time

	// beside is the digest that lies beside its image, nil before it was looked for, and besideFor the generation after which that was.
	beside    *Digest
	besideFor int
	// fromStart tells that the server cannot begin at an offset.
	fromStart bool
	// generation is that in which the mirror gave bytes, 0 for none, and validator what it said of its file then.
	generation int
	validator  wire.Validator
	// different tells that its file is not, or not provably, the one that is being read: it can only begin anew.
	different bool
	// refusals is how often in a row it did not send a part of a file that it has.
	refusals int
}

// A verdict is what an error means for the one who asked.
type verdict int

const (
	// permanent: the next answer will be the same.
	permanent verdict = iota
	// answered: the server is there, and may have another answer later.
	answered
	// silent: nothing was heard of the server.
	silent
	// unknownHost: nobody knows the server's name.
	unknownHost
)

// judge tells what an error means. What is not known to be permanent is thought to pass.
func judge(err error) verdict {
	var says interface{ Permanent() bool }
	if errors.As(err, &says) {
		if says.Permanent() {
			return permanent
		}
		return answered
	}
	var name *net.DNSError
	if errors.As(err, &name) && name.IsNotFound {
		return unknownHost
	}
	if distrust(err) {
		return permanent
	}
	return silent
}

// distrust reports whether TLS failed for a reason that stays.
func distrust(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		record       tls.RecordHeaderError
		op           *net.OpError
	)
	// An alert of the server is "remote error", and its type is not exported. It means that our certificate or our version is not the right
	// one, unless the server itself failed.
	alert := errors.As(err, &op) && op.Op == "remote error" && !strings.HasSuffix(op.Err.Error(), "internal error")
	return alert || errors.As(err, &verification) || errors.As(err, &record) || errors.Is(err, http.ErrSchemeMismatch)
}

// blame takes note of what went wrong at the mirror.
func (m *mirror) blame(err error, o Options, p Patience) {
	m.attempts++
	m.err = err
	var delayed interface{ RetryAfter() time.Duration }
	if errors.As(err, &delayed) {
		m.notBefore = time.Now().Add(min(delayed.RetryAfter(), MaxRetryAfter))
	}
	switch judge(err) {
	case permanent:
		m.answered, m.dropped = true, !o.RetryAllErrors || final(err)
	case answered:
		m.answered = true
	case silent:
		m.dropped = !m.answered && over(p.Silent, m.since)
	case unknownHost:
		m.dropped = !m.answered && over(p.Unknown, m.since)
	}
}

// failure is the last thing that went wrong at the mirror.
func (m *mirror) failure() MirrorError {
	return MirrorError{m.url, m.attempts, m.err, m.attempts > 0 && !m.answered}
}

// final reports whether an error stays whatever is asked for: what the mirror has is not what may be booted.
func final(err error) bool {
	var digest *DigestError
	var unframed *UnframedError
	var signature *SignatureError
	var whole *NoRangesError
	return errors.As(err, &digest) || errors.As(err, &unframed) || errors.As(err, &signature) || errors.As(err, &whole)
}
