package fetch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/fetchtest"
)

func number(n int) *int { return &n }

func TestRetryOptions(t *testing.T) {
	answers := func(n, status int) []fetchtest.Answer {
		all := make([]fetchtest.Answer, n)
		for i := range all {
			all[i].Status = status
		}
		return all
	}
	for _, tt := range []struct {
		name    string
		answers []fetchtest.Answer
		options Options
		waits   int
		ok      bool
	}{
		{"as often as needed", answers(3, 503), Options{Retry: number(3)}, 3, true},
		{"once too little", answers(3, 503), Options{Retry: number(2)}, 2, false},
		{"never", answers(1, 503), Options{Retry: number(0)}, 0, false},
		{"delay", answers(3, 503), Options{RetryDelay: 7 * time.Second}, 3, true},
		{"until the time is over", answers(100, 503), Options{RetryDelay: 7 * time.Second, RetryMaxTime: 30 * time.Second}, 5, false},
		{"all errors", answers(3, 404), Options{RetryAllErrors: true}, 3, true},
		{"all errors, a limit", answers(3, 404), Options{RetryAllErrors: true, Retry: number(2)}, 2, false},
		{"not all errors", answers(1, 404), Options{}, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				network.Server("h", strong, tt.answers...)
				c, err := get(t, Source{URLs: []URL{"http://h/image"}, Options: tt.options}, Environment{connect: network.Dial})
				if (err == nil) != tt.ok || tt.ok && !bytes.Equal(c.data, image) {
					t.Errorf("get = %d bytes, %v, want success %v", len(c.data), err, tt.ok)
				}
				waits := c.waits()
				if len(waits) != tt.waits {
					t.Errorf("tried again %d times, want %d", len(waits), tt.waits)
				}
				for _, w := range waits {
					if want := tt.options.RetryDelay; want > 0 && w != want {
						t.Errorf("waited %v, want %v", w, want)
					}
				}
			})
		})
	}
}

func TestMaxTime(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		network.Server("h", strong, fetchtest.Answer{Break: fetchtest.Silence, At: 10}, fetchtest.Answer{Break: fetchtest.Silence, At: 10})
		s := source("http://h/image")
		s.MaxTime = 90 * time.Second
		began := time.Now()
		_, err := get(t, s, Environment{connect: network.Dial})
		var over *MaxTimeError
		if !errors.As(err, &over) || time.Since(began) != s.MaxTime || !strings.Contains(err.Error(), "the server sent nothing for 1m0s") {
			t.Errorf("get = %v after %v, want a MaxTimeError after %v that tells what came before", err, time.Since(began), s.MaxTime)
		}
	})
}

// TestSpeed: the pauses make the server send 16 KiB in a second.
func TestSpeed(t *testing.T) {
	slow := fetchtest.Answer{Pause: time.Second}
	for _, tt := range []struct {
		name    string
		options Options
		wantErr string
	}{
		{"fast enough", Options{SpeedLimit: 14 << 10, SpeedTime: 10 * time.Second}, ""},
		{"too slow", Options{SpeedLimit: 17 << 10, SpeedTime: 10 * time.Second, Retry: number(0)}, "less than 17408 bytes per second for 10s"},
		{"any byte will do", Options{SpeedTime: 2 * time.Second}, ""},
		{"no byte in time", Options{SpeedTime: time.Second / 2, Retry: number(0)}, "sent nothing for 500ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, func(t *testing.T, network *fetchtest.Network) {
				network.Server("h", strong, slow, slow, slow)
				c, err := get(t, Source{URLs: []URL{"http://h/image"}, Options: tt.options}, Environment{connect: network.Dial})
				if (err != nil) != (tt.wantErr != "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("get = %v, want error %q", err, tt.wantErr)
				}
				if tt.wantErr == "" && (len(c.all) > 0 || !bytes.Equal(c.data, image)) {
					t.Errorf("get = %d bytes, with %v", len(c.data), c.all)
				}
			})
		})
	}
}

func TestLimitRate(t *testing.T) {
	in(t, func(t *testing.T, network *fetchtest.Network) {
		network.Server("h", strong)
		s := source("http://h/image")
		s.LimitRate = 100_000
		began := time.Now()
		c, err := get(t, s, Environment{connect: network.Dial})
		if took := time.Since(began); err != nil || !bytes.Equal(c.data, image) || took < 11*time.Second || took > 12*time.Second {
			t.Errorf("get = %d bytes, %v in %v, want 11.9 s", len(c.data), err, took)
		}
	})
}

func TestInterface(t *testing.T) {
	server := fetchtest.New(t, strong)
	for _, tt := range []struct {
		name    string
		options Options
		wantErr string
	}{
		{"address", Options{Interface: "127.0.0.9"}, ""},
		{"interface", Options{Interface: "lo"}, ""},
		{"no such interface", Options{Interface: "nope0"}, "use interface nope0"},
		{"IPv4", Options{IPVersion: 4}, ""},
		{"IPv6 only", Options{IPVersion: 6}, "no suitable address"},
	} {
		_, err := get(t, Source{URLs: []URL{URL(server.Image())}, Options: tt.options}, Environment{Patience: hasty})
		if (err != nil) != (tt.wantErr != "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
			t.Errorf("%s: get = %v, want error %q", tt.name, err, tt.wantErr)
		}
	}
	requests := server.Requests()
	if got := requests[0].RemoteAddr; !strings.HasPrefix(got, "127.0.0.9:") {
		t.Errorf("came from %s, want 127.0.0.9", got)
	}
}

// TestSecrets: whatever way the options are printed, there is no secret.
func TestSecrets(t *testing.T) {
	s := source("http://name:hidden@h/image?hidden")
	s.User, s.Headers, s.Proxy = "name:hidden", []Header{{Name: "X-Token", Value: "hidden"}}, "http://name:hidden@proxy/"
	m := MirrorError{URL: s.URLs[0], Attempts: 2, Err: &DigestError{}}
	shown := map[string]any{
		"source": s, "a pointer to it": &s, "options": s.Options, "a pointer to them": &s.Options, "URLs": s.URLs, "headers": s.Headers,
		"failure": &SourceError{Mirrors: []MirrorError{m}}, "signature": &SignatureError{URL: s.URLs[0]}, "digest": &digestFileError{s.URLs[0], errClosed},
		"retrying": Retrying{Causes: []MirrorError{m}}, "taken over": TookOver{From: s.URLs[0], To: s.URLs[0]},
	}
	for name, value := range shown {
		asJSON, err := json.Marshal(value)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, text := range []string{fmt.Sprintf("%v %s %q", value, value, value), fmt.Sprintf("%+v", value), fmt.Sprintf("%#v", value), string(asJSON)} {
			if strings.Contains(text, "hidden") {
				t.Errorf("%s is shown as %s, with a secret", name, text)
			}
		}
	}
}
