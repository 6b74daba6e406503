package daemon

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/kernel/power"
	"github.com/liveboot/liveboot/pkg/stream"
)

// A story is a live system that is shut down, or not, second by second.
type story struct {
	*ending
	// what systemd shows, and what the readers fare
	verb verb
	last bool
	want stream.Want
	why  func() error
	// for how long the line has not worked, and how what is needed for the end fails to be read
	trouble time.Duration
	fails   error

	steps func()

	began time.Time
	got   []string
}

func newStory() *story {
	s := &story{began: time.Now()}
	s.ending = &ending{
		look:   func() (verb, bool) { return s.verb, s.last },
		isLast: func() bool { return s.last },
		say:    func(text string) { s.note(strings.Fields(text)[1] + " " + strings.Fields(text)[3]) },
		end:    func(v verb) { s.note("end " + string(v)) },
	}
	s.steps = func() { s.step(s) }
	return s
}

func (s *story) note(what string) { s.got = append(s.got, time.Since(s.began).String()+" "+what) }

func (s *story) Want() stream.Want { return s.want }

func (s *story) Refuse(why func() error) {
	s.why = why
	s.note(map[bool]string{true: "refuse", false: "wait"}[why != nil])
}

// pass lets time pass.
func (s *story) pass(d time.Duration) {
	for range d / tick {
		time.Sleep(tick)
		s.steps()
	}
}

// reads begins a read of what is not there; and comes is that it came.
func (s *story) reads() { s.want.Since = time.Now() }
func (s *story) comes() { s.want = stream.Want{Served: time.Now()} }

// refused is what becomes of a read.
func (s *story) refused() bool { return s.why != nil && s.why() != nil }

func TestEnding(t *testing.T) {
	for _, tt := range []struct {
		name string
		tell func(s *story)
		want []string
	}{
		{"the server is gone, and nobody ends the machine", func(s *story) {
			s.reads()
			s.pass(24 * time.Hour)
		}, nil},
		{"process 1 has crashed, the server is gone, and nobody ends the machine", func(s *story) {
			s.reads()
			s.last = true
			s.pass(24 * time.Hour)
		}, nil},
		{"ended, and nothing is missing", func(s *story) {
			s.verb = toReboot
			s.pass(24 * time.Hour)
		}, nil},
		{"ended, and a slow line", func(s *story) {
			s.verb = toReboot
			for range 1000 {
				s.reads()
				s.pass(lastWait - tick)
				s.comes()
				s.reads()
			}
		}, nil},
		{"it waited before it was ended", func(s *story) {
			s.reads()
			s.pass(time.Hour)
			s.verb = toReboot
			s.pass(lastWait)
			s.comes()
			s.pass(time.Hour)
		}, nil},
		{"the server is gone, and the system ends all the same", func(s *story) {
			s.verb = toPowerOff
			s.pass(10 * time.Second)
			s.reads()
			s.pass(lastWait)
			s.want.Since = time.Time{}
			s.pass(lastResort - tick)
			s.note(map[bool]string{true: "refused"}[s.refused()])
		}, []string{"40s machine to", "40s refuse", "3m39s refused"}},
		{"it does not end", func(s *story) {
			s.verb = toHalt
			s.reads()
			s.pass(time.Hour)
		}, []string{"31s machine to", "31s refuse", "3m31s machine ended", "3m31s end halt"}},
		{"process 1 itself waits", func(s *story) {
			s.verb = toKexec
			s.pass(10 * time.Second)
			s.last = true
			s.reads()
			s.pass(time.Hour)
		}, []string{"41s machine ended", "41s end kexec"}},
		{"what waits all the time need not be process 1", func(s *story) {
			s.verb = toReboot
			s.reads()
			s.pass(20 * time.Second)
			s.last = true
			s.pass(lastWait)
			s.note("still there")
			s.pass(time.Hour)
		}, []string{"50s still there", "51s machine ended", "51s end reboot"}},
		{"a service waits, and then process 1 itself", func(s *story) {
			s.verb = toPowerOff
			s.reads()
			s.pass(lastWait + time.Second)
			s.want.Since = time.Time{}
			s.pass(10 * time.Second)
			s.last = true
			if s.refused() {
				s.note("process 1 gets an error")
			}
			s.reads()
			s.pass(time.Hour)
		}, []string{"31s machine to", "31s refuse", "1m12s machine ended", "1m12s end poweroff"}},
		{"the server comes back, and goes again", func(s *story) {
			s.verb = toReboot
			s.reads()
			s.pass(lastWait + time.Second)
			s.want.Since = time.Time{}
			s.pass(10 * time.Second)
			s.comes()
			s.pass(10 * time.Second)
			s.reads()
			s.pass(2 * time.Hour)
		}, []string{
			"31s machine to", "31s refuse", "42s wait", "42s of of", "1m21s machine to", "1m21s refuse",
			"4m21s machine ended", "4m21s end reboot",
		}},
		{"the server comes back, and stays", func(s *story) {
			s.verb = toReboot
			s.reads()
			s.pass(lastWait + 2*time.Second)
			s.comes()
			s.pass(24 * time.Hour)
		}, []string{"31s machine to", "31s refuse", "33s wait", "33s of of"}},
		{"the server comes back, but not process 1", func(s *story) {
			s.verb = toReboot
			s.reads()
			s.pass(lastWait + 2*time.Second)
			s.comes()
			s.last = true
			s.pass(24 * time.Hour)
		}, []string{"31s machine to", "31s refuse", "33s wait", "33s of of", "3m33s machine ended", "3m33s end reboot"}},
		{"the server comes back, and then all is stopped", func(s *story) {
			s.verb = toReboot
			s.reads()
			s.pass(lastWait + 2*time.Second)
			s.comes()
			s.pass(4 * time.Minute)
			s.last = true
			s.pass(lastResort)
		}, []string{"31s machine to", "31s refuse", "33s wait", "33s of of"}},
		{"all is stopped late, while reads fail", func(s *story) {
			s.verb = toReboot
			s.reads()
			s.pass(lastWait + time.Second)
			s.want.Since = time.Time{}
			s.pass(lastResort - tick)
			s.last = true
			s.pass(time.Hour)
		}, []string{"31s machine to", "31s refuse", "6m31s machine ended", "6m31s end reboot"}},
		{"one read after the other fails", func(s *story) {
			s.verb = toReboot
			s.reads()
			s.pass(lastWait + time.Second)
			s.want.Since = time.Time{}
			for range 3 {
				s.pass(2 * time.Minute)
				s.want.Refused = time.Now()
			}
			s.pass(time.Hour)
		}, []string{"31s machine to", "31s refuse", "9m31s machine ended", "9m31s end reboot"}},
		{"one read after the other fails for ever", func(s *story) {
			s.verb = toReboot
			s.reads()
			s.pass(lastWait + time.Second)
			s.want.Since = time.Time{}
			for range 100 {
				s.want.Refused = time.Now()
				s.pass(time.Minute)
			}
		}, []string{"31s machine to", "31s refuse", "15m31s machine ended", "15m31s end reboot"}},
		{"it is not ended after all", func(s *story) {
			s.verb = toReboot
			s.reads()
			s.pass(lastWait + time.Second)
			s.verb = ""
			s.pass(24 * time.Hour)
		}, []string{"31s machine to", "31s refuse", "32s wait", "32s of of"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStory()
				tt.tell(s)
				if diff := cmp.Diff(tt.want, s.got); diff != "" {
					t.Errorf("what happened differs (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// The machine is ended as it was asked for, also where a disk is dead, and where the kernel refuses.
func TestLastResort(t *testing.T) {
	no := errors.New("no")
	for _, tt := range []struct {
		name    string
		verb    verb
		dead    bool
		refuses string
		want    []string
	}{
		{"power off", toPowerOff, false, "", []string{"0s flush", "0s poweroff"}},
		{"reboot", toReboot, false, "", []string{"0s flush", "0s reboot"}},
		{"halt", toHalt, false, "", []string{"0s flush", "0s halt"}},
		{"another kernel", toKexec, false, "", []string{"0s flush", "0s kexec"}},
		{"no other kernel", toKexec, false, "kexec", []string{"0s flush", "0s kexec", "0s reboot"}},
		{"a machine that cannot switch itself off", toPowerOff, false, "poweroff", []string{"0s flush", "0s poweroff", "0s halt"}},
		{"a dead disk", toReboot, true, "", []string{"0s flush", "30s the disks", "30s reboot"}},
		{"refused", toReboot, false, "reboot", []string{"0s flush", "0s reboot", "0s the machine"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mutex sync.Mutex
				var got []string
				began := time.Now()
				note := func(what string) error {
					mutex.Lock()
					defer mutex.Unlock()
					got = append(got, time.Since(began).String()+" "+what)
					if what == tt.refuses {
						return no
					}
					return nil
				}
				hangs := make(chan struct{})
				defer close(hangs)
				m := machine{
					say: func(text string) { _ = note(strings.Join(strings.Fields(text)[:2], " ")) },
					flush: func() {
						_ = note("flush")
						if tt.dead {
							<-hangs
						}
					},
					power: func(a power.Action) error { return note(string(a)) },
					kexec: func() error { return note("kexec") },
				}
				m.end(tt.verb)
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("what happened differs (-want +got):\n%s", diff)
				}
			})
		})
	}
}
