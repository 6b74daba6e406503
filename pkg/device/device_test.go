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
	"time"

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

// TestOffNetwork: what is kept back has no network card behind it.
func TestOffNetwork(t *testing.T) {
	for alias, want := range map[string]bool{
		"pci:v00008086d00007010sv00001AF4sd00001100bc01sc01i80": true,  // IDE
		"pci:v0000144Dd0000A808sv0000144Dsd0000A801bc01sc08i02": true,  // NVMe
		"pci:v00001234d00001111sv00001AF4sd00001100bc03sc00i00": true,  // VGA
		"pci:v00008086d0000A2F0sv00001043sd0000873Cbc04sc03i00": true,  // HDA
		"pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00": false, // e1000
		"pci:v00008086d0000A12Fsv00001458sd00005007bc0Csc03i30": false, // xHCI: a card may hang on it
		"pci:v00008086d00001237sv00001AF4sd00001100bc06sc00i00": false,
		"pci:v0000BC01d00000001sv00000000sd00000000bc02sc00i00": false,
		"pci:v00001D0Fd0000EC20sv00000000sd00000000bcFFsc00i00": false,
		"pci:":                      false,
		"virtio:d00000001v00001AF4": false, "virtio:d00000002v00001AF4": true, "virtio:d00000008v00001AF4": true,
		"virtio:d00000004v00001AF4": false, "virtio:d00000010v00001AF4": true, "virtio:d00000012v00001AF4": true, "virtio:d0": false,
		"usb:v0BDAp8153d3000dc00dsc00dp00icFFiscFFip00in00": false, // r8152
		"usb:v0BDAp8153d3000dc00dsc00dp00ic02isc0Dip00in00": false, // NCM
		"usb:v046DpC31Cd4900dc00dsc00dp00ic03isc01ip01in00": true,  // keyboard
		"usb:v0781p5583d0100dc00dsc00dp00ic08isc06ip50in00": true,  // stick
		"usb:v0D8Cp0014d0100dc00dsc00dp00ic01isc01ip00in00": true,  // sound
		"usb:v04F9p0042d0100dc00dsc00dp00ic07isc01ip02in00": true,  // printer
		"usb:v046Dp0825d0012dcEFdsc02dp01ic0Eisc01ip00in00": true,  // camera
		"usb:v1D6Bp0003d0601dc09dsc00dp03ic09isc00ip00in00": false, // hub
		"scsi:t-0x05": true, "mmc:block": true, "sdio:c00v02D0d4329": false, "serio:ty06pr00id00ex00": true,
		"hid:b0003g0001v0000046Dp0000C31C": true, "ide:m-cdrom": true, "input:b0019v0000p0001e0000-e0,1,k74,ramlsfw": true,
		"acpi:LNXPWRBN:": true, "acpi:PNP0C0C:": true, "acpi:LNXSLPBN:": true, "acpi:PNP0C0D:": true, "acpi:PNP0C0E:": true, "acpi:PNP0501:": false, "acpi:VMBUS:": false,
		"vmbus:635161f83edfc546913ff2d2f965ed0e": false, "xen:vif": false, "platform:alarmtimer": false,
		"of:NethernetT(null)Cbrcm,bcm2711-genet-v5": false, "dmi:bvnSeaBIOS:bvr1": false, "": false, "scsi": true,
	} {
		if got := offNetwork(alias); got != want {
			t.Errorf("offNetwork(%q) = %v, want %v", alias, got, want)
		}
	}
}

// TestHold: what is no network card gets its driver when it is released, also where it turns up later; and from then on at once.
func TestHold(t *testing.T) {
	const card, stick = "usb:v0BDAp8153d3000dc00dsc00dp00icFFiscFFip00in00", "usb:v0781p5583d0100dc00dsc00dp00ic08isc06ip50in00"
	sys := fstest.MapFS{
		"bus/virtio/devices/0/modalias": {Data: []byte("virtio:d00000001v00001AF4\n")},
		"bus/virtio/devices/1/modalias": {Data: []byte("virtio:d00000002v00001AF4\n")},
		"bus/virtio/devices/2/modalias": {Data: []byte("virtio:d00000002v00001AF4\n")},
	}
	l := &loader{drivers: map[string]string{"virtio:d00000001v00001AF4": "virtio_net", "virtio:d00000002v00001AF4": "virtio_blk", card: "r8152", stick: "usb_storage", "scsi:t-0x00": "sd_mod", "first": "first"}}
	m := NewManager(sys, l, func(err error) { t.Error(err) })
	loaded := func(want ...string) {
		t.Helper()
		l.mu.Lock()
		defer l.mu.Unlock()
		if diff := cmp.Diff(want, slices.Sorted(slices.Values(l.loaded))); diff != "" {
			t.Errorf("loaded (-want +got):\n%s", diff)
		}
	}
	hotPlug := func(aliases ...string) {
		t.Helper()
		events := &receiver{}
		for _, alias := range aliases {
			events.events = append(events.events, add(alias))
		}
		synctest.Test(t, func(t *testing.T) {
			if err := m.HotPlug(t.Context(), events); err != nil {
				t.Fatalf("HotPlug: %v", err)
			}
			synctest.Wait()
		})
	}
	m.Hold()
	if err := m.ColdPlug(t.Context(), []string{"first"}); err != nil {
		t.Fatalf("ColdPlug: %v", err)
	}
	loaded("first", "virtio_net")
	hotPlug(card, stick)
	loaded("first", "r8152", "virtio_net")
	if got := m.Counts(); got != (Counts{Kinds: 3, Drivers: 2}) {
		t.Errorf("Counts() = %+v, want what was not kept back", got)
	}
	if diff := cmp.Diff([]string{stick, "virtio:d00000002v00001AF4"}, m.Held()); diff != "" {
		t.Errorf("Held (-want +got):\n%s", diff)
	}
	m.Release()
	loaded("first", "r8152", "usb_storage", "virtio_blk", "virtio_net")
	hotPlug("scsi:t-0x00")
	loaded("first", "r8152", "sd_mod", "usb_storage", "virtio_blk", "virtio_net")
	if got := m.Held(); len(got) > 0 {
		t.Errorf("Held after Release = %q, want none", got)
	}
}

// TestSettle: what drivers bring is waited for, and no longer than it is quiet.
func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewManager(fstest.MapFS{}, &loader{drivers: map[string]string{"scsi:0": "a", "scsi:1": "b", "scsi:2": "c"}}, nil)
		for i, after := range []time.Duration{0, 950 * time.Millisecond, 1850 * time.Millisecond} {
			time.AfterFunc(after, func() { m.plug(fmt.Sprint("scsi:", i)) })
		}
		began := time.Now()
		if err := m.Settle(t.Context(), time.Second); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 2900*time.Millisecond {
			t.Errorf("Settle took %v, want a second after the last device", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := m.Settle(ctx, time.Second); !errors.Is(err, context.Canceled) {
			t.Errorf("Settle = %v, want %v", err, context.Canceled)
		}
	})
}
