// Package clock sets a clock that is wrong for certain: one that shows a time before the image was built.
//
// A machine whose battery is empty starts in the past, where no certificate is valid yet. [Check] asks the NTP servers of the
// lease, and if none of them answers the HTTP server, what time it is, before certificates are judged. Neither is
// authenticated, so a time is believed only if it is not before the date of the image, and a clock that may be right is never touched.
package clock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// A Clock is what is checked and set; package kernel/clock has the kernel's.
type Clock interface {
	Now() time.Time
	Set(time.Time) error
}

// An Adjustment is what was done to a clock. The zero Adjustment is nothing.
type Adjustment struct {
	// Source said what time it is: "NTP server 192.0.2.1".
	Source string
	// Old and New are the clock's times before and after.
	Old, New time.Time
}

// Made says whether the clock was set.
func (a Adjustment) Made() bool { return a.Source != "" }

// String is a sentence for the console, or that nothing was done.
func (a Adjustment) String() string {
	if !a.Made() {
		return "the clock was left as it is"
	}
	return fmt.Sprintf("the clock was set from %s to %s, as %s says", show(a.Old), show(a.New), a.Source)
}

func show(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// webServer is the source of a Date.
const webServer = "the web server"

// dateTime bounds the asking for a Date: connection, TLS and answer.
const dateTime = 10 * time.Second

// believed is how far behind the date of the image a time may lie. It is half of the time after which NTP's seconds begin anew, 68
// years, and far less than the kernel's clock can hold.
const believed = 1 << 31 * time.Second

// A Date asks a web server what time it is, see HTTPDate.
type Date func(context.Context) (time.Time, error)

// Check sets c if it shows a time before notBefore, the date of the image: to the first answer of the NTP servers, which are asked in
// order, each a little after the one before, and if none is of use to what date returns (nil is nobody to ask). An error says of
// everyone who was asked what was wrong.
func Check(ctx context.Context, notBefore time.Time, servers []netip.Addr, date Date, c Clock) (Adjustment, error) {
	ntp := sntp{port: ntpPort, timeout: tryTime, tries: tries, pivot: notBefore, dial: new(net.Dialer).DialContext}
	return check(ctx, notBefore, sources{servers, ntp.query, date}, c)
}

// sources are those who can say what time it is.
type sources struct {
	servers []netip.Addr
	query   query
	date    Date
}

func check(ctx context.Context, notBefore time.Time, s sources, c Clock) (Adjustment, error) {
	a := Adjustment{Old: c.Now().Round(0)}
	if !a.Old.Before(notBefore) {
		return Adjustment{}, nil
	}
	var err error
	if a.New, a.Source, err = s.ask(ctx, notBefore); err == nil {
		err = c.Set(a.New)
	}
	if err != nil {
		return Adjustment{}, fmt.Errorf("correct the clock, which shows %s, before the image was built (%s): %w",
			show(a.Old), show(notBefore), err)
	}
	return a, nil
}

// ask returns a time to believe, and whose it is.
func (s sources) ask(ctx context.Context, notBefore time.Time) (now time.Time, source string, err error) {
	server, now, err := first(ctx, s.servers, func(ctx context.Context, server netip.Addr) (time.Time, error) {
		now, err := s.query(ctx, server)
		return now, cmp.Or(err, judge(now, notBefore))
	})
	if err == nil {
		return now, "NTP server " + server.String(), nil
	}
	if s.date == nil || ctx.Err() != nil {
		return time.Time{}, "", err
	}
	within, cancel := context.WithTimeout(ctx, dateTime)
	defer cancel()
	now, dateErr := s.date(within)
	if dateErr = cmp.Or(dateErr, judge(now, notBefore)); dateErr != nil {
		return time.Time{}, "", errors.Join(err, fmt.Errorf("%s: %w", webServer, dateErr))
	}
	return now, webServer, nil
}

// judge refuses a time that can't be right.
func judge(now, notBefore time.Time) error {
	switch {
	case now.Before(notBefore):
		return fmt.Errorf("says %s, before the image was built", show(now))
	case now.Sub(notBefore) >= believed:
		return fmt.Errorf("says %s, too far ahead to be believed", show(now))
	}
	return nil
}
