package fetch

import (
	"fmt"
	"strings"
	"time"
)

// An Event is something that happened to a download which a person may want to know. String is a line for the console.
type Event interface {
	fmt.Stringer
	event()
}

// Retrying says that nothing can be had at the moment, and when it is tried again.
type Retrying struct {
	// Count is 1 for the first wait since something arrived.
	Count int
	Delay time.Duration
	// Causes are what happened at each mirror that was asked.
	Causes []MirrorError
}

// Resumed says that the download goes on where it stopped.
type Resumed struct {
	URL    URL
	Offset int64
	// Size in bytes, -1 if it is not known.
	Size int64
}

// Repeating says that a server cannot begin at an offset: what is there already is downloaded once more, and dropped.
type Repeating struct {
	URL    URL
	Offset int64
}

// TookOver says that a mirror goes on where another one stopped.
type TookOver struct {
	From, To URL
	Offset   int64
	Cause    error
}

// Spread says that several connections share the work, since the first one was slow.
type Spread struct {
	URL URL
	// Connections is how many there are.
	Connections int
}

// Restarted says that what had been downloaded is of no use.
type Restarted struct {
	URL URL
	// Lost in bytes.
	Lost  int64
	Cause error
}

// GaveUp says that a mirror will not be asked again.
type GaveUp struct {
	URL   URL
	Cause error
}

// DigestFound says that a digest lies beside the image.
type DigestFound struct {
	URL    URL
	Digest Digest
	// Signed tells that the file of the digest has a signature that is right.
	Signed bool
}

// DigestIgnored says that what lies where a digest could be is none.
type DigestIgnored struct {
	URL   URL
	Cause error
}

func (Retrying) event()      {}
func (Resumed) event()       {}
func (Repeating) event()     {}
func (TookOver) event()      {}
func (Spread) event()        {}
func (Restarted) event()     {}
func (GaveUp) event()        {}
func (DigestFound) event()   {}
func (DigestIgnored) event() {}

// String gives the causes and the time.
func (e Retrying) String() string {
	var causes []string
	for _, c := range e.Causes {
		causes = append(causes, fmt.Sprintf("%v: %v", c.URL, c.Err))
	}
	if e.Delay == 0 {
		return fmt.Sprintf("trying again at once: %s", strings.Join(causes, "; "))
	}
	return fmt.Sprintf("trying again in %s (no. %d): %s", seconds(e.Delay), e.Count, strings.Join(causes, "; "))
}

// String gives place and server.
func (e Resumed) String() string {
	if e.Size < 0 {
		return fmt.Sprintf("resumed at byte %d: %v", e.Offset, e.URL)
	}
	return fmt.Sprintf("resumed at byte %d of %d: %v", e.Offset, e.Size, e.URL)
}

// String says what it costs.
func (e Repeating) String() string {
	return fmt.Sprintf("the server cannot begin in the middle: the first %d bytes are downloaded once more: %v", e.Offset, e.URL)
}

// String names both mirrors.
func (e TookOver) String() string {
	return fmt.Sprintf("going on at byte %d with the mirror %v, since %v: %v", e.Offset, e.To, e.From, e.Cause)
}

// String gives number and server.
func (e Spread) String() string {
	return fmt.Sprintf("downloading over %d connections: %v", e.Connections, e.URL)
}

// String gives the cause.
func (e Restarted) String() string {
	return fmt.Sprintf("starting over, %d bytes are lost: %v: %v", e.Lost, e.URL, e.Cause)
}

// String gives the cause.
func (e GaveUp) String() string { return fmt.Sprintf("not asking %v again: %v", e.URL, e.Cause) }

// String names the digest, and whether it is signed.
func (e DigestFound) String() string {
	if e.Signed {
		return fmt.Sprintf("the image must have the %s of %v, whose signature is right", e.Digest.Algorithm, e.URL)
	}
	return fmt.Sprintf("the image must have the %s of %v", e.Digest.Algorithm, e.URL)
}

// String gives the cause.
func (e DigestIgnored) String() string { return fmt.Sprintf("%v is not used: %v", e.URL, e.Cause) }

// seconds returns a time for people.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
