package dolly_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/server"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// TestPowerCut takes the cable out of a machine in the middle of the image: nobody says good-bye. The one before it goes on without it when the
// kernel's keepalive packets were not answered for a minute, and the one behind it says who is gone.
func TestPowerCut(t *testing.T) {
	if os.Getenv("LIVEBOOT_TEST") != "full" {
		t.Skip("takes more than a minute; LIVEBOOT_TEST=full runs it")
	}
	nettest.Run(t, func(t *testing.T, near *nettest.Net) {
		h := newHall(t, near, 3)
		image := noise(64 << 20)
		source := newGated(t, image)
		var machines []*machine
		for i := 1; i <= 3; i++ {
			machines = append(machines, h.start(i, nil))
		}
		source.limit <- len(image) / 2
		done := h.serve(server.Server{Hosts: h.hosts(3)}, source)
		for limit := time.After(patience); machines[2].received() < int64(len(image)/2); {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-limit:
				t.Fatalf("the last node has %d bytes only", machines[2].received())
			}
		}
		h.machines[2].Unplug("port2")
		close(source.limit) // which is more than the kernel's buffers have room for
		select {
		case <-machines[0].done:
		case <-time.After(2 * time.Minute):
			t.Fatalf("the node before the one that is off does not end; it told %v", machines[0].told())
		}
		machines[0].whole(t, "the node before", image)
		var lost *dolly.LostError
		if err := machines[2].end(t); !errors.As(err, &lost) || !strings.Contains(lost.Parent, h.host(2)) {
			t.Errorf("the node behind ended with %v, want a LostError that names %s", err, h.host(2))
		}
		if got := <-done; got.err != nil || len(got.Complete) != 1 || len(got.Lost) != 2 {
			t.Errorf("Send = %+v, want one complete and two lost", got)
		}
	})
}

// TestPowerCutLate takes the cable out when the rest of the image fits into the kernel's buffers: the machine that is off has been sent the size, too, and the
// kernel asks nobody whether he is alive as long as something is on its way to him.
func TestPowerCutLate(t *testing.T) {
	if os.Getenv("LIVEBOOT_TEST") != "full" {
		t.Skip("takes more than a minute; LIVEBOOT_TEST=full runs it")
	}
	nettest.Run(t, func(t *testing.T, near *nettest.Net) {
		h := newHall(t, near, 3)
		image := noise(24 << 20)
		const most = 16 << 20
		source := newGated(t, image)
		var machines []*machine
		for i := 1; i <= 3; i++ {
			machines = append(machines, h.start(i, nil))
		}
		source.limit <- most
		done := h.serve(server.Server{Hosts: h.hosts(3)}, source)
		for limit := time.After(patience); machines[2].received() < most; {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-limit:
				t.Fatalf("the last node has %d bytes only", machines[2].received())
			}
		}
		h.machines[2].Unplug("port2")
		close(source.limit)
		select {
		case <-machines[0].done:
		case <-time.After(2 * time.Minute):
			t.Fatalf("the node before the one that is off does not end; it told %v", machines[0].told())
		}
		machines[0].whole(t, "the node before", image)
		if got := <-done; got.err != nil || len(got.Complete) != 1 || len(got.Lost) != 2 {
			t.Errorf("Send = %+v, want one complete and two lost", got)
		}
	})
}
