package dolly

import (
	"fmt"
	"time"
)

// An Event is something that happened in a ring which a person may want to know. String is a line for the console.
type Event interface {
	fmt.Stringer
	// Problem tells whether something is wrong.
	Problem() bool
}

// Waiting says that nobody has connected yet.
type Waiting struct{ For time.Duration }

// Refused says that somebody connected whose ring is not joined.
type Refused struct {
	// From is the address.
	From string
	Err  error
}

// Joined says that this machine is in a ring.
type Joined struct {
	// Name is that of this machine in the list of the hosts, and Place its place in it, from 1 to Hosts.
	Name         string
	Place, Hosts int
	// Parent is the node before it.
	Parent string
	// Versions of dolly that speak as the ring does.
	Versions string
}

// Trying says that a node behind this one cannot be connected to.
type Trying struct {
	Host string
	Err  error
}

// Linked says that a node behind this one is connected.
type Linked struct{ Host string }

// Skipped says that a node behind this one is left out.
type Skipped struct {
	Host string
	Err  error
}

// Lost says that a node behind this one is gone. This node goes on without it, as the last one.
type Lost struct {
	Host string
	// Sent is how many bytes it was given, and Behind how many nodes there are behind it, which do not get the rest, either.
	Sent   int64
	Behind int
	Err    error
}

// Stuck says that nothing moves.
type Stuck struct {
	// On is the node that is waited for.
	On string
	// Sending tells that it takes nothing; otherwise it sends nothing.
	Sending  bool
	Received int64
	For      time.Duration
}

// Unconfirmed says that a node behind this one has not said that it has everything.
type Unconfirmed struct {
	Host string
	Err  error
}

// Said is a line that a node behind this one sent up to the server.
type Said struct{ Line string }

// Problem is false: that is how it begins.
func (Waiting) Problem() bool { return false }

// Problem is true.
func (Refused) Problem() bool { return true }

// Problem is false.
func (Joined) Problem() bool { return false }

// Problem is true.
func (Trying) Problem() bool { return true }

// Problem is false.
func (Linked) Problem() bool { return false }

// Problem is true.
func (Skipped) Problem() bool { return true }

// Problem is true.
func (Lost) Problem() bool { return true }

// Problem is true.
func (Stuck) Problem() bool { return true }

// Problem is true.
func (Unconfirmed) Problem() bool { return true }

// Problem is false.
func (Said) Problem() bool { return false }

// String says for whom.
func (e Waiting) String() string {
	text := fmt.Sprintf("waiting for the dolly server to connect on ports %d and %d", dataPort, controlPort)
	if e.For > 0 {
		text += fmt.Sprintf(", for %v now", e.For.Round(time.Second))
	}
	return text
}

// String gives the cause.
func (e Refused) String() string { return fmt.Sprintf("not in the ring of %s: %v", e.From, e.Err) }

// String says between whom.
func (e Joined) String() string {
	return fmt.Sprintf("node %d of %d, %s, in the ring of dolly %s, behind %s", e.Place, e.Hosts, e.Name, e.Versions, e.Parent)
}

// String gives the cause.
func (e Trying) String() string {
	return fmt.Sprintf("the next node, %s, is not there yet: %v", e.Host, e.Err)
}

// String names the node.
func (e Linked) String() string { return fmt.Sprintf("passing everything on to %s", e.Host) }

// String gives the cause.
func (e Skipped) String() string { return fmt.Sprintf("the node %s is left out: %v", e.Host, e.Err) }

// String says who else suffers.
func (e Lost) String() string {
	text := fmt.Sprintf("the next node, %s, is gone after %d bytes: %v; going on without it", e.Host, e.Sent, e.Err)
	if e.Behind > 0 {
		text += fmt.Sprintf(" and the %d behind it", e.Behind)
	}
	return text
}

// String says who is waited for.
func (e Stuck) String() string {
	verb := "sends"
	if e.Sending {
		verb = "takes"
	}
	return fmt.Sprintf("%s %s nothing since %v, at byte %d", e.On, verb, e.For.Round(time.Second), e.Received)
}

// String gives the cause.
func (e Unconfirmed) String() string {
	return fmt.Sprintf("the next node, %s, has not said that it has everything: %v", e.Host, e.Err)
}

// String is the line, of which nothing can harm a terminal.
func (e Said) String() string { return fmt.Sprintf("said in the ring: %.200q", e.Line) }
