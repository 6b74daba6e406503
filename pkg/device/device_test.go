package device

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/pkg/kernel/uevent"
)

// loader knows a driver for every alias in it.
type loader struct {
	drivers map[string]string
	mu      sync.Mutex
	loaded  []string
}

var errBroken = errors.New("invalid module format")

func (l *loader) Load(name string) ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	driver, ok := l.drivers[name]
	switch {
	case !ok:
		return nil, fmt.Errorf("load %s: %w", name, module.ErrNotFound)
	case driver == "broken":
		return []string{driver}, errBroken
	}
	l.loaded = append(l.loaded, driver)
	return []string{driver}, nil
}

type receiver struct{ events []any }

func (r *receiver) Receive() (uevent.Event, error) {
	if len(r.events) == 0 {
		return uevent.Event{}, os.ErrClosed
	}
	next := r.events[0]
	r.events = r.events[1:]
	if err, ok := next.(error); ok {
		return uevent.Event{}, err
	}
	return next.(uevent.Event), nil
}

func add(alias string) uevent.Event {
	return uevent.Event{Action: "add", Path: "/devices/x", Env: map[string]string{"MODALIAS": alias}}
}

func TestManager(t *testing.T) {
	sys := fstest.MapFS{
		"bus/pci/devices/0000:00:01.0/modalias": {Data: []byte("pci:nic\n")},
		"bus/pci/devices/0000:00:02.0/modalias": {Data: []byte("pci:nic\n")},
		"bus/pci/devices/0000:00:03.0/modalias": {Data: []byte("pci:unknown\n")},
		"bus/pci/devices/0000:00:04.0/modalias": {Data: []byte("pci:bad\n")},
		"bus/platform/devices/empty/modalias":   {Data: []byte("\n")},
		"bus/cpu/devices/cpu0/modalias":         {Data: []byte("cpu:type:x86\n")},
		"module/x/modalias":                     {Data: []byte("pci:never\n")},
	}
	l := &loader{drivers: map[string]string{"pci:nic": "e1000", "pci:bad": "broken", "usb:nic": "r8152", "virtio:late": "virtio_net", "early": "early", "pci:never": "never", "cpu:type:x86": "never"}}
	var reported []error
	m := NewManager(sys, l, func(err error) { reported = append(reported, err) })
	ctx := context.Background()
	if err := m.ColdPlug(ctx, []string{"early"}); err != nil {
		t.Fatalf("ColdPlug: %v", err)
	}
	if diff := cmp.Diff([]string{"early", "e1000"}, l.loaded); diff != "" {
		t.Errorf("ColdPlug loaded (-want +got):\n%s", diff)
	}
	if len(reported) != 1 || !errors.Is(reported[0], errBroken) {
		t.Errorf("ColdPlug reported %v, want one %v", reported, errBroken)
	}

	sys["bus/virtio/devices/lost/modalias"] = &fstest.MapFile{Data: []byte("virtio:late\n")}
	events := &receiver{[]any{
		add("usb:nic"), add("pci:nic"), uevent.Event{Action: "remove", Env: map[string]string{"MODALIAS": "pci:never"}},
		fmt.Errorf("receive uevent: %w", unix.ENOBUFS),
	}}
	synctest.Test(t, func(t *testing.T) {
		if err := m.HotPlug(ctx, events); err != nil {
			t.Fatalf("HotPlug: %v", err)
		}
		synctest.Wait() // for the drivers that are still being loaded
	})
	got := slices.Sorted(slices.Values(l.loaded))
	if diff := cmp.Diff([]string{"e1000", "early", "r8152", "virtio_net"}, got); diff != "" {
		t.Errorf("after HotPlug loaded (-want +got):\n%s", diff)
	}
	if got := m.Counts().Drivers; got != 4 {
		t.Errorf("Counts().Drivers = %d, want 4 (e1000, broken, r8152, virtio_net)", got)
	}
}

func TestColdPlugFirstMissing(t *testing.T) {
	m := NewManager(fstest.MapFS{}, &loader{}, nil)
	if err := m.ColdPlug(context.Background(), []string{"nothing"}); !errors.Is(err, module.ErrNotFound) {
		t.Errorf("ColdPlug(nothing) = %v, want %v", err, module.ErrNotFound)
	}
}

func TestColdPlugCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	m := NewManager(fstest.MapFS{"bus/pci/devices/a/modalias": {Data: []byte("x")}}, &loader{}, nil)
	if err := m.ColdPlug(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("ColdPlug = %v, want %v", err, context.Canceled)
	}
}

func TestRank(t *testing.T) {
	card, disk := "pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00", "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00"
	if rank(card) >= rank(disk) {
		t.Errorf("rank(%s) = %d, want less than rank(%s) = %d", card, rank(card), disk, rank(disk))
	}
}

// stuck is a loader whose drivers never come back.
type stuck struct{}

func (stuck) Load(string) ([]string, error) { select {} }

// TestLoading: drivers that hang are known by their devices.
func TestLoading(t *testing.T) {
	m := NewManager(fstest.MapFS{"bus/pci/devices/a/modalias": {Data: []byte("pci:a")}, "bus/pci/devices/b/modalias": {Data: []byte("pci:b")}}, stuck{}, nil)
	go m.ColdPlug(context.Background(), nil)
	for len(m.Loading()) < 2 {
		runtime.Gosched()
	}
	if diff := cmp.Diff([]string{"pci:a", "pci:b"}, m.Loading()); diff != "" {
		t.Errorf("Loading (-want +got):\n%s", diff)
	}
}
