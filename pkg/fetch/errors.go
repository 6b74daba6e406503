package fetch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// A RestartError is returned by Stream.Read when what was read so far is of no use: the image begins anew with the next Read, from
// its first byte. It is no failure: whoever writes the stream somewhere goes back to the beginning and reads on.
type RestartError struct {
	// Size of the image in bytes from now on, as Stream.Size: -1 if it is not known.
	Size int64
	// Cause says why.
	Cause error
}

// Error says why.
func (e *RestartError) Error() string { return fmt.Sprintf("the download starts over: %v", e.Cause) }

// Unwrap returns the cause.
func (e *RestartError) Unwrap() error { return e.Cause }

// Restart returns the size of the image in bytes from now on, -1 if it is not known. By this method a reader that does not
// know this package can tell a new beginning from a failure.
func (e *RestartError) Restart() int64 { return e.Size }

// A SourceError says that no server gave the whole image, and what happened at each.
type SourceError struct {
	// Received is how many bytes of the image had arrived, of Size, which is -1 if it is not known.
	Received, Size int64
	Mirrors        []MirrorError
}

// A MirrorError is the last thing that went wrong at a mirror.
type MirrorError struct {
	URL URL
	// Attempts that went wrong, in all; 0 if it was never asked.
	Attempts int
	// Err is nil if the mirror was never asked.
	Err error
	// Silent says that nothing was ever heard of the server, or nobody knows its name.
	Silent bool
}

// Error has a line for each mirror.
func (e *SourceError) Error() string {
	lines := make([]string, 0, len(e.Mirrors))
	for _, m := range e.Mirrors {
		lines = append(lines, "get "+m.describe(e.received()))
	}
	return strings.Join(lines, "\n")
}

// Silent reports whether nothing was ever heard of any server, however often it was asked.
func (e *SourceError) Silent() bool {
	return !slices.ContainsFunc(e.Mirrors, func(m MirrorError) bool { return !m.Silent })
}

func (e *SourceError) received() string {
	switch {
	case e.Received == 0:
		return ""
	case e.Size < 0:
		return fmt.Sprintf("after %d bytes: ", e.Received)
	}
	return fmt.Sprintf("after %d of %d bytes: ", e.Received, e.Size)
}

func (m MirrorError) describe(received string) string {
	switch {
	case m.Err == nil:
		return fmt.Sprintf("%v: not asked", m.URL)
	case m.Attempts < 2:
		return fmt.Sprintf("%v: %s%v", m.URL, received, m.Err)
	}
	return fmt.Sprintf("%v: %s%v (in the last of %d attempts)", m.URL, received, m.Err, m.Attempts)
}

// Unwrap returns the errors of all mirrors.
func (e *SourceError) Unwrap() []error {
	var errs []error
	for _, m := range e.Mirrors {
		if m.Err != nil {
			errs = append(errs, m.Err)
		}
	}
	return errs
}

// A StallError says that a server was silent, or slower than it may be.
type StallError struct {
	For time.Duration
	// Limit in bytes per second that was not reached; 0 if nothing came at all.
	Limit int64
}

// Error says for how long.
func (e *StallError) Error() string {
	if e.Limit > 0 {
		return fmt.Sprintf("the server sent less than %d bytes per second for %v", e.Limit, e.For)
	}
	return fmt.Sprintf("the server sent nothing for %v", e.For)
}

// A MaxTimeError says that the time for the whole download is over (Options.MaxTime).
type MaxTimeError struct{ Limit time.Duration }

// Error tells the limit.
func (e *MaxTimeError) Error() string {
	return fmt.Sprintf("the download took longer than the %v that it may take", e.Limit)
}

// UnframedError says that a server ends the image with the end of the connection, which a cut looks like, too. With a digest the
// image can be had.
type UnframedError struct{}

// Error says what to do.
func (*UnframedError) Error() string {
	return "the server does not tell how long the image is, so that a part of it could not be told from the whole: " +
		"give its digest, or use another server"
}

// Permanent is true: it is how the server works.
func (*UnframedError) Permanent() bool { return true }

// ChangedError says that a server holds another file now than the one whose beginning was read, or that nothing tells whether it does.
type ChangedError struct{ What string }

// Error says by what it is seen.
func (e *ChangedError) Error() string { return e.What }

// Permanent is false: a file that changes may do so again, and another one may be the right one.
func (*ChangedError) Permanent() bool { return false }

func sizeChanged(had, has int64) string {
	return fmt.Sprintf("the file on the server has changed: it had %d bytes, and has %d now", had, has)
}

// versionChanged names what two validators have in common, or all that there is.
func versionChanged(had, has wire.Validator) string {
	name := func(v wire.Validator, date bool) string {
		if date || v.ETag == "" {
			return fmt.Sprintf("the date %.60s", v.Modified)
		}
		return fmt.Sprintf("the ETag %.100s", v.ETag)
	}
	dates := had.ETag == "" || has.ETag == ""
	return fmt.Sprintf("the file on the server has changed: it had %s, and has %s now", name(had, dates && had.Modified != ""), name(has, dates && has.Modified != ""))
}

// A SignatureError says that the digest of an image is not signed as it must be.
type SignatureError struct {
	// URL of the file that holds the digest.
	URL URL
	Err error
}

// Error names the file.
func (e *SignatureError) Error() string {
	return fmt.Sprintf("verify the signature of %v: %v", e.URL, e.Err)
}

// Unwrap returns the cause.
func (e *SignatureError) Unwrap() error { return e.Err }

// Permanent is true: a signature is right or wrong.
func (*SignatureError) Permanent() bool { return true }
