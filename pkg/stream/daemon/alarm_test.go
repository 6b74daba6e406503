package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/kernel/power"
	"github.com/liveboot/liveboot/pkg/stream"
)

// A wrong image is announced loudly, again and again, or the machine is rebooted for it.
func TestAlarm(t *testing.T) {
	wrong := &fetch.DigestError{Want: fetch.Digest{Algorithm: "sha256", Hex: "aa"}, Got: fetch.Digest{Algorithm: "sha256", Hex: "bb"}}
	for _, tt := range []struct {
		name   string
		reboot bool
		power  error
		want   []string
	}{
		{"said only", false, nil, []string{"0s log", "0s shout", "10m0s log", "10m0s shout", "20m0s log", "20m0s shout"}},
		{"reboot", true, nil, []string{"0s log", "0s shout", "10s reboot"}},
		{"no reboot to be had", true, errors.New("no"), []string{
			"0s log", "0s shout", "10s reboot", "10s log", "10s log", "10s shout", "10m10s log", "10m10s shout", "20m10s log", "20m10s shout",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got []string
				began := time.Now()
				note := func(what string) { got = append(got, time.Since(began).String()+" "+what) }
				tell := newTeller(&broken{}, logger(func(text string) { note("log") }))
				d := newDaemon(Job{Reboot: tt.reboot}, Hooks{}, tell)
				ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
				defer cancel()
				d.shout = func(text string) {
					synctest.Wait()
					note("shout")
					if !strings.Contains(text, "is bb, and should be aa") || strings.Contains(text, "reboots in 10s") != (tt.reboot && time.Since(began) < grace) {
						t.Errorf("shouted %q", text)
					}
				}
				d.power = func(a power.Action) error {
					note(string(a))
					if tt.power == nil {
						cancel() // the machine is gone
					}
					return tt.power
				}
				m := d.incomplete(wrong)
				if m == nil || m.Reboot != tt.reboot {
					t.Fatalf("incomplete(%v) = %+v, want a mismatch", wrong, m)
				}
				d.alarm(ctx, *m)
				tell.close()
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("what happened differs (-want +got):\n%s", diff)
				}
			})
		})
	}
}

type logger func(string)

func (l logger) Write(p []byte) (int, error) { l(string(p)); return len(p), nil }

// Of a process that tells somebody, that one gets the mismatch.
func TestAlarmTold(t *testing.T) {
	var pipe bytes.Buffer
	tell := newTeller(&pipe, io.Discard)
	d := newDaemon(Job{}, Hooks{}, tell)
	ctx, cancel := context.WithCancel(t.Context())
	d.shout = func(string) { cancel() }
	d.alarm(ctx, Mismatch{Reboot: true})
	tell.close()
	var m Message
	if err := json.Unmarshal(pipe.Bytes(), &m); err != nil || m.Mismatch == nil || !m.Mismatch.Reboot {
		t.Errorf("told %q, %v, want the mismatch", &pipe, err)
	}
}

func TestTerminals(t *testing.T) {
	dev := folderWith(t, map[string]string{"pts/0": "", "pts/12": "", "pts/ptmx": "", "vcs": "", "vcs1": "", "vcs7": "", "vcsa1": "", "tty1": "", "tty2": "", "null": ""})
	want := []string{"pts/0", "pts/12", "tty1", "tty7"}
	for i := range want {
		want[i] = filepath.Join(dev, want[i])
	}
	if diff := cmp.Diff(want, terminals(dev)); diff != "" {
		t.Errorf("terminals() differs (-want +got):\n%s", diff)
	}
}

// settled is a device of which it is noted that it shows what is in place.
type settled struct{ count int }

func (s *settled) Settle(*stream.DevicePlace) error { s.count++; return nil }

// Only an image that is right is completed: of one that is not the disk's record is never written, nor is it shown.
func TestComplete(t *testing.T) {
	ranges, image := testImage(t, 1<<20)
	hook := errors.New("the hook failed")
	for _, tt := range []struct {
		name                string
		digest              string
		hook                error
		completed, switched int
		state               State
	}{
		{"right", hexOf(image), nil, 1, 1, Complete},
		{"unknown", "", nil, 1, 1, Complete},
		{"wrong", hexOf(nil), nil, 0, 0, Mismatched},
		{"the hook fails", hexOf(image), hook, 1, 0, Incomplete},
	} {
		t.Run(tt.name, func(t *testing.T) {
			completed := 0
			job := Job{Device: "/dev/x"}
			if tt.digest != "" {
				job.Source.Digest = fetch.Digest{Algorithm: "sha256", Hex: tt.digest}
			}
			tell := newTeller(io.Discard, io.Discard)
			defer tell.close()
			d := newDaemon(job, Hooks{Complete: func(context.Context, Job, stream.Place) error { completed++; return tt.hook }}, tell)
			d.place, d.status.path = make(ram, len(image)), filepath.Join(t.TempDir(), "stream.json")
			store, err := stream.New(stream.Config{Size: ranges.Size}, newSource(ranges, quietLine()), d.place)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); store.Run(ctx) }()
			device := new(settled)
			if err := d.complete(ctx, store, device); err != nil {
				d.incomplete(err)
				d.status.update(store.Stats(), false, healthy, "")
			}
			cancel()
			<-done
			if completed != tt.completed || device.count != tt.switched {
				t.Errorf("completed %d times, switched %d times, want %d, %d", completed, device.count, tt.completed, tt.switched)
			}
			var s Status
			if err := json.Unmarshal([]byte(read(t, d.status.path)), &s); err != nil || s.State != tt.state || s.Present != ranges.Size {
				t.Errorf("the status is %+v, %v, want %s", s, err, tt.state)
			}
		})
	}
}

// ram is a Place in memory.
type ram []byte

func (r ram) ReadAt(p []byte, offset int64) (int, error)  { return copy(p, r[offset:]), nil }
func (r ram) WriteAt(p []byte, offset int64) (int, error) { return copy(r[offset:], p), nil }
func (r ram) Sync() error                                 { return nil }
