package integration

import (
	"bytes"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/qemu"
)

// streamOther serves another file of the same size.
func streamOther(image []byte) func(w http.ResponseWriter, r *http.Request) bool {
	other := make([]byte, len(image))
	return func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("ETag", `"two"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(other))
		return true
	}
}

// The file on the server becomes another one: nothing of that one is read, what is there can be used, and what is not is waited for. When the
// administrator has put the old file back the machine goes on.
func TestStreamChanged(t *testing.T) {
	full(t)
	t.Parallel()
	image := streamImage(t, 64)
	s := newStreamServer(t, image)
	m := streamBoot(t, s, "streamguest.rate=1000000")
	m.see(regexp.MustCompile(`streamguest: switched`), streamFailed())
	s.alter(streamOther(image))
	m.see(regexp.MustCompile(`liveboot: stream: .* is not the file of \d+ bytes any more that this machine was started from .*: nothing more is read of it, `+
		`and what the live system has not read yet it waits for; put the old file back as it was, and it goes on, or restart this machine, and publish new images under new names`), streamFailed())
	if got := m.ask("state", "state (.*);"); !strings.HasPrefix(got, "on nbd0, process Vm") {
		t.Errorf("the state is %q, want the server's device", got)
	}
	m.status(`"state":"changed"`)
	s.alter(nil)
	m.see(regexp.MustCompile(`liveboot: stream: the old file is back`), streamFailed())
	m.completes(image)
	m.enter("off")
	m.exits("guest-shutdown")
	m.neverSaid(regexp.MustCompile(`I/O error|SQUASHFS error`))
}

// With a manifest the machine goes on when the administrator has put the old file back, and of the other one nothing was used.
func TestStreamRestored(t *testing.T) {
	full(t)
	t.Parallel()
	image := streamImage(t, 32)
	s := newStreamServer(t, image)
	s.manifest(t)
	m := streamBoot(t, s, "streamguest.rate=2000000 streamguest.chunks="+s.url+".chunks")
	m.see(regexp.MustCompile(`streamguest: switched`), streamFailed())
	s.alter(streamOther(image))
	m.see(regexp.MustCompile(`liveboot: stream: .*; put the old file back as it was, and it goes on, or restart this machine`), streamFailed())
	m.see(regexp.MustCompile(`liveboot: stream: \d+ bytes at \d+ of the image are wrong, and fetched again`), streamFailed())
	s.alter(nil)
	m.completes(image)
	m.status(`"state":"complete"`)
	m.enter("off")
	m.exits("guest-shutdown")
	m.neverSaid(regexp.MustCompile(`I/O error|SQUASHFS error`))
}

// completes waits until the image is complete, and makes sure that it is that one.
func (m *machine) completes(image []byte) {
	m.t.Helper()
	m.see(regexp.MustCompile(`liveboot: the image is complete`), streamFailed())
	if got, want := m.ask("device", `device (\S+) `), digest(image); got != want {
		m.t.Errorf("the device has the SHA-256 %s, want %s", got, want)
	}
}

// The server does not know the image's version when it is asked for (If-Range), and sends the whole image then; later, of parts it sends
// nothing else than the whole for a while.
func TestStreamChangedServer(t *testing.T) {
	full(t)
	t.Parallel()
	image := streamImage(t, 32)
	s := newStreamServer(t, image)
	ignorant := func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("If-Range") != "" {
			r.Header.Del("Range")
		}
		return false
	}
	s.alter(ignorant)
	m := streamBoot(t, s, "streamguest.rate=2000000")
	m.see(regexp.MustCompile(`streamguest: switched`), streamFailed())
	s.alter(func(_ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("Range")
		return false
	})
	m.see(regexp.MustCompile(`liveboot: stream: nothing of the image has come for .*the server has the file, and does not send parts of it any more`), streamFailed())
	s.alter(ignorant)
	m.see(regexp.MustCompile(`liveboot: stream: the image comes again`), streamFailed())
	m.completes(image)
	m.enter("off")
	m.exits("guest-shutdown")
	m.neverSaid(regexp.MustCompile(`I/O error|SQUASHFS error`))
}

// All is there, and it is not the image that it should be: that is said, and nothing is switched.
func TestStreamMismatch(t *testing.T) {
	full(t)
	t.Parallel()
	image := streamImage(t, 16)
	m := streamBoot(t, newStreamServer(t, image), "streamguest.sha256="+digest(nil))
	m.see(regexp.MustCompile(`liveboot: the image that the live system runs from is not the one it should be, do not trust it`), streamFailed())
	if got := m.ask("state", "state (.*);"); !strings.HasPrefix(got, "on nbd0, process Vm") {
		t.Errorf("the state is %q, want the process still there", got)
	}
	m.status(`"state":"mismatch"`)
	m.enter("off")
	m.exits("guest-shutdown")
	m.neverSaid(regexp.MustCompile(`the image is complete`))
}

// Who wants it has the machine rebooted when the image is wrong.
func TestStreamMismatchReboots(t *testing.T) {
	full(t)
	t.Parallel()
	image := streamImage(t, 16)
	m := streamBoot(t, newStreamServer(t, image), "streamguest.reboot=1 streamguest.sha256="+digest(nil))
	m.see(regexp.MustCompile(`liveboot: the image that the live system runs from is not the one it should be, .*; this machine reboots in 10s`), streamFailed())
	m.exits("guest-reset")
	m.neverSaid(regexp.MustCompile(`the image is complete`))
}

// The live system sets its clock to a time at which the server's certificate is not valid. New connections are refused then, and that is
// said; with the right time it goes on.
func TestStreamClock(t *testing.T) {
	full(t)
	t.Parallel()
	image := streamImage(t, 32)
	s := newStreamServer(t, image)
	s.secure(t)
	m := streamBoot(t, s, "streamguest.rate=2000000")
	m.see(regexp.MustCompile(`streamguest: switched`), streamFailed())
	m.ask("future", `clock (21\d\d);`)
	s.stop()
	s.start(t)
	m.see(regexp.MustCompile(`liveboot: stream: nothing of the image has come for .*certificate has expired`), streamFailed())
	m.ask("present", `clock (20\d\d);`)
	m.see(regexp.MustCompile(`liveboot: stream: the image comes again`), streamFailed())
	m.see(regexp.MustCompile(`liveboot: the image is complete`), streamFailed())
	if got, want := m.ask("device", `device (\S+) `), digest(image); got != want {
		t.Errorf("the device has the SHA-256 %s, want %s", got, want)
	}
	m.enter("off")
	m.exits("guest-shutdown")
}

// A program takes nearly all of the memory that there is, at once, while the cache of an image that never will be complete is full: it gets it.
func TestStreamPressure(t *testing.T) {
	full(t)
	t.Parallel()
	image := streamImage(t, 160)
	s := newStreamServer(t, image)
	m := streamBoot(t, s, "streamguest.lazy=1 streamguest.take=110", func(c *qemu.Config) { c.MemoryMiB = 256 })
	m.see(regexp.MustCompile(`streamguest: switched`), streamFailed())
	for range 2 {
		m.ask("device", `device (\S+) `)
		m.status(`"cached":\d{8}`) // it is in use
		if got := m.ask("take", `took (110 MiB|nothing.*)`); got != "110 MiB" {
			t.Errorf("a program that took 110 MiB got %s", got)
		}
	}
	m.enter("off")
	m.exits("guest-shutdown")
	m.neverSaid(regexp.MustCompile(`I/O error|SQUASHFS error|Out of memory|invoked oom-killer`))
}

// status waits for what the streaming process writes for the live system: it does so every few seconds.
func (m *machine) status(want string) {
	m.t.Helper()
	var got string
	for range 10 {
		if got = m.ask("status", "status (.*);"); regexp.MustCompile(want).MatchString(got) {
			return
		}
		m.enter("rest")
		m.see(regexp.MustCompile(`streamguest: rested`), streamFailed())
	}
	m.t.Errorf("the status is %s, want %s in it", got, want)
}
