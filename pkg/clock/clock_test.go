package clock

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/kernel/clock/clocktest"
)

// An outcome is what asking someone comes to, and when.
type outcome struct {
	after time.Duration
	now   time.Time
	err   error
}

func (o outcome) wait(ctx context.Context) (time.Time, error) {
	select {
	case <-time.After(o.after):
		return o.now, o.err
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

func TestCheck(t *testing.T) {
	empty := time.Date(1970, time.January, 1, 0, 0, 5, 0, time.UTC)
	silent := outcome{after: 4 * time.Second, err: errors.New("no answer")}
	good := outcome{after: 20 * time.Millisecond, now: right}
	early := outcome{after: 20 * time.Millisecond, now: built.Add(-time.Second)}
	late := outcome{after: 20 * time.Millisecond, now: built.Add(believed)}
	refused := outcome{err: errors.New("refuses")}
	never := outcome{after: time.Hour}
	for _, tt := range []struct {
		name    string
		clock   time.Time
		servers []outcome // 192.0.2.1 and so on
		date    *outcome
		source  string
		errors  []string // in the error; if there are any, nothing is set
		took    time.Duration
		asked   int // servers
	}{
		{name: "a clock that may be right is left alone", clock: built, servers: []outcome{good}},
		{name: "the first server answers",
			clock: empty, servers: []outcome{good, good}, source: "NTP server 192.0.2.1", took: 20 * time.Millisecond, asked: 1},
		{name: "a second too early",
			clock: built.Add(-time.Second), servers: []outcome{good}, source: "NTP server 192.0.2.1", took: 20 * time.Millisecond, asked: 1},
		{name: "the first is silent",
			clock: empty, servers: []outcome{silent, good, good}, source: "NTP server 192.0.2.2", took: 270 * time.Millisecond, asked: 2},
		{name: "the first refuses",
			clock: empty, servers: []outcome{refused, good}, source: "NTP server 192.0.2.2", took: 20 * time.Millisecond, asked: 2},
		{name: "the slow first is before the slower second",
			clock: empty, servers: []outcome{{400 * time.Millisecond, right, nil}, {400 * time.Millisecond, right, nil}},
			source: "NTP server 192.0.2.1", took: 400 * time.Millisecond, asked: 2},
		{name: "a time before the image is refused",
			clock: empty, servers: []outcome{early, good}, source: "NTP server 192.0.2.2", took: 40 * time.Millisecond, asked: 2},
		{name: "no server, but a date", clock: empty, date: &good, source: "the web server", took: 20 * time.Millisecond},
		{name: "silent servers, but a date",
			clock: empty, servers: []outcome{silent, silent}, date: &good, source: "the web server", took: 4270 * time.Millisecond, asked: 2},
		{name: "a server is asked before the date",
			clock: empty, servers: []outcome{good}, date: &refused, source: "NTP server 192.0.2.1", took: 20 * time.Millisecond, asked: 1},
		{name: "nobody to ask",
			clock: empty, errors: []string{"1970-01-01 00:00:05 UTC", "2026-11-01 00:00:00 UTC", "no NTP server is known"}},
		{name: "nobody is of use", clock: empty, servers: []outcome{refused, early, late}, date: &early, errors: []string{
			"192.0.2.1: refuses", "192.0.2.2: says 2026-10-31 23:59:59 UTC, before the image was built",
			"192.0.2.3: says 2094-", "the web server: says 2026-10-31",
		}, took: 60 * time.Millisecond, asked: 3},
		{name: "a date that never comes",
			clock: empty, date: &never, errors: []string{"the web server: context deadline exceeded"}, took: dateTime},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var set []string
				c := &clocktest.Recorder{Start: tt.clock, Log: func(command string) { set = append(set, command) }}
				s := sources{}
				for i := range tt.servers {
					s.servers = append(s.servers, netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}))
				}
				var asked atomic.Int32
				s.query = func(ctx context.Context, server netip.Addr) (time.Time, error) {
					asked.Add(1)
					return tt.servers[slices.Index(s.servers, server)].wait(ctx)
				}
				if tt.date != nil {
					s.date = tt.date.wait
				}
				start := time.Now()
				got, err := check(t.Context(), built, s, c)
				if took := time.Since(start); took != tt.took {
					t.Errorf("check took %v, want %v", took, tt.took)
				}
				if n := int(asked.Load()); n != tt.asked {
					t.Errorf("check asked %d servers, want %d", n, tt.asked)
				}
				for _, want := range tt.errors {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("check: %v, want an error with %q", err, want)
					}
				}
				if err != nil && tt.errors == nil {
					t.Errorf("check: %v", err)
				}
				want := Adjustment{}
				var wantSet []string
				if tt.source != "" {
					want = Adjustment{Source: tt.source, Old: tt.clock, New: right}
					wantSet = []string{"date -s 2026-11-22T19:00:00Z"}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("check (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(wantSet, set); diff != "" {
					t.Errorf("settings of the clock (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestCheckFailsToSet(t *testing.T) {
	why := errors.New("operation not permitted")
	c := &clocktest.Recorder{Start: time.Unix(0, 0), OnSet: func(time.Time) error { return why }}
	date := func(context.Context) (time.Time, error) { return right, nil }
	if got, err := Check(t.Context(), built, nil, date, c); !errors.Is(err, why) || got.Made() {
		t.Errorf("Check = %v, %v, want %v", got, err, why)
	}
}

// The end of the boot's patience ends everything, and the date is not asked for any more.
func TestCheckEnds(t *testing.T) {
	why := errors.New("patience is at its end")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		s := sources{
			servers: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
			query:   func(ctx context.Context, _ netip.Addr) (time.Time, error) { return outcome{after: time.Hour}.wait(ctx) },
			date: func(context.Context) (time.Time, error) {
				t.Error("the date is asked for")
				return right, nil
			},
		}
		if got, err := check(ctx, built, s, &clocktest.Recorder{Start: time.Unix(0, 0)}); !errors.Is(err, why) {
			t.Errorf("check = %v, %v, want %v", got, err, why)
		}
	})
}

func TestAdjustmentString(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   Adjustment
		want string
	}{
		{"none", Adjustment{}, "the clock was left as it is"},
		{"one", Adjustment{"NTP server 192.0.2.1", time.Unix(5, 0), right},
			"the clock was set from 1970-01-01 00:00:05 UTC to 2026-11-22 19:00:00 UTC, as NTP server 192.0.2.1 says"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.in.String(); got != tt.want {
				t.Errorf("String() = %q, want %q", got, tt.want)
			}
		})
	}
}
