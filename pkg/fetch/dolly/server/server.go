// Package server sends one file to many machines by a ring of dolly: the first node gets it from the server, and each passes it on to the
// next. Nodes are those of package dolly, and the program of that name in any version of one dialect.
//
// The protocol is described in package ring.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly/ring"
)

// Defaults of Server.
const (
	// DefaultWait outlasts the start of a machine.
	DefaultWait = 3 * time.Minute
	// DefaultConfirm leaves programs the time to bring what they have to a slow disk.
	DefaultConfirm = 5 * time.Minute
)

// A Server sends files.
type Server struct {
	// Hosts are the nodes in their order: addresses, or names that all of them can look up.
	Hosts []string
	// Dialect is that of all nodes. Those of package dolly understand both.
	Dialect ring.Dialect
	// Password is asked of all nodes, in Dialect07; empty for none.
	Password string
	// Fanout is how many nodes each node passes the file on to, in Dialect06; 0 means 1, a ring.
	Fanout int
	// Name of this machine in Dialect06.
	Name string
	// Outfile is where other programs than package dolly put the file.
	Outfile string

	// Alive tells whether a host is there; one that is not is left out. nil asks nobody. See Ping.
	Alive func(ctx context.Context, host string) error
	// Wait is how long a node may take to be there; 0 means DefaultWait. A ring is given up when for twice as long none of its nodes said a word and
	// some are not ready: the error is an *AbsentError then.
	Wait time.Duration
	// Confirm is how long all nodes may take, after the last byte, to say that they have the file; 0 means DefaultConfirm.
	Confirm time.Duration
	// Dial connects to a node; nil means that of package net.
	Dial ring.Dial
	// Report is told what happens, one event after the other; nil for nobody.
	Report func(Event)
}

// A Result is who got a file.
type Result struct {
	// Bytes that were sent.
	Bytes int64
	// Complete are the nodes that have the file; Skipped are those that were left out, and Lost those that were lost on the way.
	Complete, Skipped, Lost []string
}

// ErrUnconfirmed says that the ring did not say that everything had arrived.
var ErrUnconfirmed = errors.New("the ring has not said that everything arrived: look at the nodes")

// Send sends what file holds, to its end. name is what nodes are told of it. The result is right also if there is an error.
func (s Server) Send(ctx context.Context, file io.Reader, name string) (Result, error) {
	t := &transfer{Server: s, state: make(map[string]state)}
	if err := t.prepare(ctx, name); err != nil {
		return t.result(), fmt.Errorf("dolly %s: %w", name, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := t.build(ctx); err != nil {
		t.close()
		return t.result(), fmt.Errorf("dolly %s: build the ring: %w", name, err)
	}
	defer t.close()
	err := t.send(ctx, cancel, file)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return t.result(), fmt.Errorf("dolly %s: %w", name, err)
	}
	return t.result(), nil
}

// A state is how far a node is.
type state int

const (
	absent state = iota
	ready
	skipped
	lost
	complete
)

// A transfer is a file on its way.
type transfer struct {
	Server
	in       ring.Introduction
	children []*child
	state    map[string]state
	bytes    int64
}

// A child is a node that gets the file from the server.
type child struct {
	*ring.Child
	place int
	// messages are what comes from it and from those behind it; the channel is closed at the end, of which err is the cause.
	messages chan ring.Message
	err      error
}

func (t *transfer) prepare(ctx context.Context, name string) error {
	t.Fanout = max(t.Fanout, 1)
	t.Wait, t.Confirm = orDefault(t.Wait, DefaultWait), orDefault(t.Confirm, DefaultConfirm)
	if t.Dial == nil {
		t.Dial = new(net.Dialer).DialContext
	}
	switch {
	case t.Dialect == ring.Dialect06 && t.Password != "":
		return errors.New("the dialect of dolly 0.6x has no password")
	case t.Dialect == ring.Dialect07 && t.Fanout > 1:
		return errors.New("the dialect of dolly 0.7x has no trees")
	case t.Fanout > ring.MaxFanout:
		return fmt.Errorf("a node has at most %d others behind it", ring.MaxFanout)
	}
	var hosts []string
	for _, h := range t.Hosts {
		if slices.Contains(hosts, h) {
			return fmt.Errorf("the host %s is in the list twice", h)
		}
		if t.Alive != nil {
			if err := t.Alive(ctx, h); err != nil {
				t.state[h] = skipped
				t.report(Skipped{Host: h, Err: err})
				continue
			}
		}
		hosts = append(hosts, h)
	}
	if len(hosts) == 0 {
		return errors.New("none of the hosts is there")
	}
	outfile := t.Outfile
	if outfile == "" {
		outfile = name
	}
	t.in.Config = ring.Config{Dialect: t.Dialect, Infile: name, Outfile: outfile, Server: t.Name, Hosts: hosts, Fanout: t.Fanout}
	var err error
	t.in.Text, err = t.in.Config.Text()
	return err
}

func orDefault(d, value time.Duration) time.Duration {
	if d == 0 {
		return value
	}
	return d
}

func (t *transfer) report(e Event) {
	if t.Report != nil {
		t.Report(e)
	}
}

func (t *transfer) close() {
	for _, c := range t.children {
		c.Close()
	}
}

// result counts who has what.
func (t *transfer) result() Result {
	r := Result{Bytes: t.bytes}
	for _, h := range t.Hosts {
		switch t.state[h] {
		case skipped:
			r.Skipped = append(r.Skipped, h)
		case complete:
			r.Complete = append(r.Complete, h)
		default:
			r.Lost = append(r.Lost, h)
		}
	}
	return r
}
