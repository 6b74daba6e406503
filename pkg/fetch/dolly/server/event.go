package server

import (
	"fmt"
	"strings"
	"time"
)

// An Event is something that happened which a person may want to know. String is a line for the console.
type Event interface{ fmt.Stringer }

// Trying says that a node is not there yet.
type Trying struct {
	Host string
	Err  error
}

// Skipped says that a node is left out.
type Skipped struct {
	Host string
	Err  error
}

// Lost says that a node is gone, or that the one before it is.
type Lost struct{ Host string }

// Absent says which nodes have not said yet that they are ready, since a connection was made.
type Absent struct {
	Hosts []string
	For   time.Duration
}

// Said is a line of a node.
type Said struct{ Line string }

// Sending says that all nodes are ready.
type Sending struct{ Hosts int }

// String gives the cause.
func (e Trying) String() string { return fmt.Sprintf("%s is not there yet: %v", e.Host, e.Err) }

// String gives the cause.
func (e Skipped) String() string { return fmt.Sprintf("%s is left out: %v", e.Host, e.Err) }

// String names the node.
func (e Lost) String() string { return fmt.Sprintf("%s is lost, and has not got the file", e.Host) }

// String names them.
func (e Absent) String() string {
	return fmt.Sprintf("not ready after %v: %s", e.For.Round(time.Second), strings.Join(e.Hosts, ", "))
}

// String is the line, of which nothing can harm a terminal.
func (e Said) String() string { return fmt.Sprintf("%.200q", e.Line) }

// String says to how many.
func (e Sending) String() string { return fmt.Sprintf("sending to %d hosts", e.Hosts) }
