package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly/ring"
)

// remindTime is how often it is said who is waited for.
const remindTime = 30 * time.Second

// build connects to the first nodes, and returns when all nodes are ready.
func (t *transfer) build(ctx context.Context) error {
	if t.Fanout == 1 {
		return t.first(ctx)
	}
	for _, place := range t.in.Children(-1) {
		if err := t.connect(ctx, place); err != nil {
			return fmt.Errorf("%s: %w", t.in.Hosts[place], err)
		}
	}
	return t.ready(ctx)
}

// first finds the first node that is there, and builds the ring from it on.
func (t *transfer) first(ctx context.Context) error {
	var errs []error
	for place, host := range t.in.Hosts {
		err := t.connect(ctx, place)
		if err == nil {
			if err = t.ready(ctx); err == nil {
				return nil
			}
			// A first node that is ready itself is not to blame, and without it the ring would not be built, either.
			var silent *AbsentError
			if errors.As(err, &silent) && t.state[host] == ready {
				return err
			}
			t.close()
			t.children = nil
			// What was ready was so in another ring.
			maps.DeleteFunc(t.state, func(_ string, s state) bool { return s == ready })
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		errs = append(errs, fmt.Errorf("%s: %w", host, err))
		t.state[host] = skipped
		t.report(Skipped{Host: host, Err: err})
	}
	return errors.Join(errs...)
}

// connect makes the node at place one of the server's own.
func (t *transfer) connect(ctx context.Context, place int) error {
	host := t.in.Hosts[place]
	limited, cancel := context.WithTimeoutCause(ctx, t.Wait, fmt.Errorf("tried for %v", t.Wait))
	defer cancel()
	told := false
	conn, err := ring.Connect(limited, t.Dial, host, 0, func(err error) {
		if !told {
			t.report(Trying{Host: host, Err: err})
			told = true
		}
	})
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, conn.Close)
	c := &child{Child: conn, place: place, messages: make(chan ring.Message)}
	t.children = append(t.children, c)
	if err := c.Introduce(ctx, t.in, t.Password); err != nil {
		conn.Close()
		t.children = t.children[:len(t.children)-1]
		return err
	}
	go c.listen(ctx)
	return nil
}

// listen hands on what comes from a node and those behind it.
func (c *child) listen(ctx context.Context) {
	defer close(c.messages)
	for {
		m, err := c.Next()
		if err != nil {
			c.err = err
			return
		}
		select {
		case c.messages <- m:
		case <-ctx.Done():
			c.err = context.Cause(ctx)
			return
		}
		if m.Line == "" {
			return
		}
	}
}

// An AbsentError says that a ring was not built: some nodes have not said that they are ready.
type AbsentError struct {
	Hosts []string
	// For is how long nobody said anything.
	For time.Duration
}

// Error says what to do.
func (e *AbsentError) Error() string {
	return fmt.Sprintf("not ready, and nothing was heard for %v: %s: look at the first of them, or take it out of the list", e.For, strings.Join(e.Hosts, ", "))
}

// ready waits until every node is ready, or left out.
func (t *transfer) ready(ctx context.Context) error {
	for _, c := range t.children {
		if err := t.allReady(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// allReady waits until a child and those behind it need not be waited for.
func (t *transfer) allReady(ctx context.Context, c *child) error {
	// A node says nothing as long as it tries to connect to the next one, which it may do for as long as the server itself.
	most, began := 2*t.Wait, time.Now()
	silence := time.NewTimer(most)
	defer silence.Stop()
	remind := time.NewTicker(remindTime)
	defer remind.Stop()
	for {
		hosts := t.absent(c.place)
		if len(hosts) == 0 {
			return nil
		}
		select {
		case m, ok := <-c.messages:
			switch {
			case !ok:
				return fmt.Errorf("%s left: %w", c.Host, c.err)
			case m.Line == "":
				return fmt.Errorf("%s sent the size of a file before there was one", c.Host)
			}
			t.hear(m.Line)
			silence.Reset(most)
		case <-remind.C:
			t.report(Absent{Hosts: hosts, For: time.Since(began)})
		case <-silence.C:
			return &AbsentError{Hosts: hosts, For: most}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// absent returns which have to be waited for of the node at place and those behind it.
func (t *transfer) absent(place int) (hosts []string) {
	if h := t.in.Hosts[place]; t.state[h] == absent {
		hosts = append(hosts, h)
	}
	for _, p := range t.in.Children(place) {
		hosts = append(hosts, t.absent(p)...)
	}
	return hosts
}

// hear takes note of what a node says.
func (t *transfer) hear(line string) {
	kind, host := ring.Understand(line)
	if _, known := t.place(host); !known && kind != ring.Other {
		kind = ring.Other
	}
	switch kind {
	case ring.IsReady:
		t.state[host] = ready
	case ring.IsSkipped:
		t.state[host] = skipped
		t.report(Skipped{Host: host, Err: errors.New("the node before it could not connect to it")})
		return
	case ring.IsLost:
		t.lose(host)
		return
	}
	t.report(Said{Line: line})
}

func (t *transfer) place(host string) (int, bool) {
	for p, h := range t.in.Hosts {
		if h == host {
			return p, true
		}
	}
	return 0, false
}

// lose takes note of a node that is gone, and so of all behind it.
func (t *transfer) lose(host string) {
	place, ok := t.place(host)
	if !ok {
		return
	}
	if s := t.state[host]; s != skipped && s != lost {
		t.state[host] = lost
		t.report(Lost{Host: host})
	}
	for _, p := range t.in.Children(place) {
		t.lose(t.in.Hosts[p])
	}
}
