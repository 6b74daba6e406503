package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// bufferSize is what is read and sent at a time if there is more than one child; with one the kernel does it where it can.
const bufferSize = 1 << 20

// send sends the file and waits until all have it.
func (t *transfer) send(ctx context.Context, cancel context.CancelCauseFunc, file io.Reader) error {
	t.report(Sending{Hosts: len(t.in.Hosts)})
	heard := make(chan error, 1)
	go func() { heard <- t.listen(ctx, cancel) }()
	if err := t.put(file); err != nil {
		cancel(err)
		<-heard
		return err
	}
	limit := time.NewTimer(t.Confirm)
	defer limit.Stop()
	select {
	case err := <-heard:
		return err
	case <-limit.C:
		cancel(ErrUnconfirmed)
		<-heard
		return ErrUnconfirmed
	}
}

// put sends the file, and then its size.
func (t *transfer) put(file io.Reader) error {
	if err := t.copy(file); err != nil {
		return fmt.Errorf("after %d bytes: %w", t.bytes, err)
	}
	for _, c := range t.children {
		if err := c.PutTotal(t.bytes); err != nil {
			return fmt.Errorf("tell %s the size: %w", c.Host, err)
		}
		c.EndData()
	}
	return nil
}

// copy sends the file to all children.
func (t *transfer) copy(file io.Reader) (err error) {
	if len(t.children) == 1 {
		t.bytes, err = io.Copy(t.children[0].Data, file)
		return err
	}
	var all []io.Writer
	for _, c := range t.children {
		all = append(all, c.Data)
	}
	t.bytes, err = io.CopyBuffer(io.MultiWriter(all...), struct{ io.Reader }{file}, make([]byte, bufferSize))
	return err
}

// listen hears the children out. It ends everything when one is lost: the others have what they have, but nobody can tell what.
func (t *transfer) listen(ctx context.Context, cancel context.CancelCauseFunc) error {
	var errs []error
	for _, c := range t.children {
		err := t.hearOut(c)
		if err != nil {
			errs = append(errs, err)
			cancel(err)
		}
	}
	return errors.Join(errs...)
}

// hearOut listens to a child until it sends the size back.
func (t *transfer) hearOut(c *child) error {
	for m := range c.messages {
		if m.Line != "" {
			t.hear(m.Line)
			continue
		}
		if m.Total != t.bytes {
			return fmt.Errorf("%s sent %d bytes back in the place of %d: %w", c.Host, m.Total, t.bytes, ErrUnconfirmed)
		}
		t.confirm(c.place)
		return nil
	}
	if errors.Is(c.err, io.EOF) {
		c.err = errors.New("it closed the connection")
	}
	t.lose(c.Host)
	return fmt.Errorf("%s is gone: %w", c.Host, c.err)
}

// confirm takes note that the node at place and those behind it have the file, but those of which it was said that they have not.
func (t *transfer) confirm(place int) {
	if h := t.in.Hosts[place]; t.state[h] == ready {
		t.state[h] = complete
	}
	for _, p := range t.in.Children(place) {
		t.confirm(p)
	}
}
