package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly"
	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// DollyOptions say how to be a node in a ring of dolly. The zero DollyOptions join any ring without a password.
type DollyOptions struct {
	// Password of the ring; empty for none. PasswordFile is a file that holds it instead, below Environment.Roots, see package options.
	Password     Secret
	PasswordFile string
	// From are the networks from which a ring is joined; none for any.
	From []netip.Prefix
	// Wait is how long a ring is waited for; 0 for ever.
	Wait time.Duration
	// Retry is how often, once a second, the next node is tried until it is left out; 0 is as long as a machine may take to start.
	Retry int
	// HyphenNormal tells that a hyphen is a part of a host's name.
	HyphenNormal bool
	// Verbose reports what other nodes say, too.
	Verbose bool
}

// RingEvent is something that happened in a ring of dolly.
type RingEvent struct{ dolly.Event }

func (RingEvent) event() {}

// dolly opens a ring, whatever u says after the scheme; only a password is taken from it.
func (d dialer) dolly(u URL) (wire.File, error) {
	target, err := u.parse()
	if err != nil {
		return nil, err
	}
	o := d.options.Dolly
	password := string(o.Password)
	switch inURL, ok := target.User.Password(); {
	case password != "":
	case o.PasswordFile != "":
		if password, err = passwordIn(filepath.Join(d.base, o.PasswordFile)); err != nil {
			return nil, err
		}
	case ok:
		password = inURL
	}
	var report func(dolly.Event)
	if d.report != nil {
		report = func(e dolly.Event) { d.report(RingEvent{e}) }
	}
	ring := d.wire
	ring.IPVersion = 4 // the protocol has no other
	return dolly.New(string(u), dolly.Options{
		Password: password, From: o.From, Wait: o.Wait, Attempts: o.Retry, HyphenNormal: o.HyphenNormal, Verbose: o.Verbose,
		Listen: ring.ListenPort,
		Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
			return ring.DialContext(ctx, "tcp", address)
		},
		Resolve: ring.Resolve,
		Report:  report,
	}), nil
}

// maxPasswordFile in bytes.
const maxPasswordFile = 4 << 10

// passwordIn reads a password: the first line of a file, or what stands behind PASS= as in dolly's own /etc/dolly/dolly.env.
func passwordIn(name string) (string, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("password of the ring: %w", err)
	}
	if len(data) > maxPasswordFile {
		return "", fmt.Errorf("password of the ring: %s: %w", name, &tooLongError{maxPasswordFile})
	}
	for line := range bytes.Lines(data) {
		text := strings.TrimSpace(string(line))
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if value, ok := strings.CutPrefix(text, "PASS="); ok {
			text = strings.Trim(value, `"'`)
		}
		if text != "" {
			return text, nil
		}
	}
	return "", fmt.Errorf("password of the ring: %s: %w", name, errNoPassword)
}

var errNoPassword = errors.New("there is none in it")

// guarded returns the options for a connection of the scheme. A server that pushes may come after hours, and a ring is as slow as its slowest
// node; that a neighbour is gone, the protocol itself notices.
func (s Scheme) guarded(o Options) Options {
	if s.pushes {
		o.SpeedTime, o.SpeedLimit = math.MaxInt64, 0
	}
	return o
}
