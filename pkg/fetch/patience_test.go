package fetch

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
	"github.com/liveboot/liveboot/pkg/fetch/httpx"
)

// TestForEver: a server that answers is not given up, and one that never did is, after some time.
func TestForEver(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		var answers []fetchtest.Answer
		for range 200 {
			answers = append(answers, fetchtest.Answer{Status: 503})
		}
		network.Server("h", strong, answers...)
		began := time.Now()
		c, err := get(t, source("http://h/image"), Environment{connect: network.Dial})
		if err != nil || !bytes.Equal(c.data, image) || time.Since(began) < time.Hour {
			t.Errorf("get = %d bytes, %v after %v, want the image after 200 tries", len(c.data), err, time.Since(began))
		}
		waits := c.waits()
		for i, w := range waits {
			want := min(DefaultDelay<<min(i, 10), DefaultMaxDelay)
			if w < want/2 || w > want {
				t.Errorf("wait %d is %v, want %v to %v", i, w, want/2, want)
			}
		}
		if len(waits) != 200 {
			t.Errorf("%d waits, want 200", len(waits))
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		want        time.Duration
	}{
		{"seconds", "17", 17 * time.Second},
		{"too long", "86400", MaxRetryAfter},
		{"a date, by the server's clock", "Fri, 31 Dec 1999 23:59:59 GMT", 59 * time.Second},
		{"in the past", "Fri, 31 Dec 1999 23:00:00 GMT", 0},
		{"nonsense", "soon", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				network.Server("h", strong, fetchtest.Answer{Status: 429, Header: map[string]string{
					"Retry-After": tt.value, "Date": "Fri, 31 Dec 1999 23:59:00 GMT",
				}})
				c, err := get(t, source("http://h/image"), Environment{connect: network.Dial})
				waits := c.waits()
				if err != nil || len(waits) != 1 {
					t.Fatalf("get: %v, %d waits, want 1", err, len(waits))
				}
				if tt.want == 0 && waits[0] > DefaultDelay || tt.want > 0 && (waits[0] > tt.want || waits[0] < tt.want-time.Second) {
					t.Errorf("waited %v, want %v", waits[0], tt.want)
				}
			})
		})
	}
}

// TestCutOften: each connection carries a little further, and none is waited for longer than the first time.
func TestCutOften(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		var answers []fetchtest.Answer
		for at := 100_000; at < len(image); at += 100_000 {
			answers = append(answers, fetchtest.Answer{Break: fetchtest.Reset, At: at})
		}
		network.Server("h", strong, answers...)
		c, err := get(t, source("http://h/image"), Environment{connect: network.Dial})
		if err != nil || !bytes.Equal(c.data, image) {
			t.Fatalf("get = %d bytes, %v", len(c.data), err)
		}
		for _, w := range c.waits() {
			if w > DefaultDelay {
				t.Errorf("waited %v after a connection that carried something, want %v at most", w, DefaultDelay)
			}
		}
	})
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want verdict
	}{
		{&httpx.StatusError{Code: 404}, permanent},
		{fmt.Errorf("around: %w", &httpx.StatusError{Code: 407, Proxy: true}), permanent},
		{&httpx.StatusError{Code: 503}, answered},
		{&httpx.StatusError{Code: 501}, permanent},
		{&net.DNSError{IsNotFound: true}, unknownHost},
		{&net.DNSError{IsTimeout: true}, silent},
		{io.ErrUnexpectedEOF, silent},
		{&StallError{}, silent},
	} {
		if got := judge(tt.err); got != tt.want {
			t.Errorf("judge(%v) = %v, want %v", tt.err, got, tt.want)
		}
	}
}

func TestDelay(t *testing.T) {
	p := Patience{}.withDefaults()
	var got []time.Duration
	for round := 1; round < 8; round++ {
		var longest time.Duration
		for range 1000 {
			d := p.delay(round)
			longest = max(longest, d)
			if want := min(DefaultDelay<<(round-1), DefaultMaxDelay); d < want/2 || d > want {
				t.Errorf("delay(%d) = %v, want %v to %v", round, d, want/2, want)
			}
		}
		got = append(got, longest.Round(time.Second))
	}
	want := []time.Duration{1, 2, 4, 8, 16, 30, 30}
	for i := range want {
		want[i] *= time.Second
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("longest delays (-want +got):\n%s", diff)
	}
}
