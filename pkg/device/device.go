// Package device makes hardware appear: it loads the driver for every device that the kernel knows, and for those that
// turn up later, by the modalias in which a device says what it is. It is what "udevadm trigger --action=add" and
// udev's rule for MODALIAS do elsewhere.
package device

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/pkg/kernel/uevent"
)

// A Spec says what to do about drivers beyond what the devices themselves ask for.
type Spec struct {
	// Blacklist names drivers that no device gets.
	Blacklist []string
	// First names drivers that are loaded before any other, in this order.
	First []string
	// Parameters holds, by driver, what it is loaded with ("a=1 b"): the kernel gives only to built-in drivers what its command
	// line says.
	Parameters map[string]string
}

// A Loader loads the drivers for a name or alias; *module.Loader is one.
type Loader interface {
	Load(name string) (modules []string, err error)
}

// A Receiver gives the events of devices; *uevent.Listener is one.
type Receiver interface {
	Receive() (uevent.Event, error)
}

// loaders is how many drivers are loaded at a time. A driver's probe mostly waits for its hardware, so this is more than there
// are processors; and a few that hang must not hold up the others.
const loaders = 16

// A Manager loads drivers for devices.
type Manager struct {
	sys    fs.FS
	loader Loader
	report func(error)
	places chan struct{} // one for each driver that is being loaded

	mu      sync.Mutex
	seen    map[string]bool
	drivers map[string]bool
	loading map[string]bool
	holding bool
	held    map[string]bool // modaliases of devices that wait for Release
}

// NewManager returns a Manager for the devices below sys, the folder /sys. A driver that does not load is told to report, which
// must be safe for several goroutines: it may be that of a device that the boot does not need.
func NewManager(sys fs.FS, loader Loader, report func(error)) *Manager {
	return &Manager{
		sys: sys, loader: loader, report: report, places: make(chan struct{}, loaders),
		seen: make(map[string]bool), drivers: make(map[string]bool), loading: make(map[string]bool), held: make(map[string]bool),
	}
}

// Hold keeps back, from now on, the drivers of devices that normally no network card is behind: disks, displays, keyboards, buttons and the like.
func (m *Manager) Hold() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.holding = true
}

// Held returns the modaliases of the devices whose drivers are kept back.
func (m *Manager) Held() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.held))
}

// Release loads the drivers that were kept back, several at a time, and keeps back no more. It returns when all are loaded, which a driver that
// waits for its hardware can delay for long.
func (m *Manager) Release() {
	m.mu.Lock()
	held := slices.Sorted(maps.Keys(m.held))
	m.holding = false
	clear(m.held)
	m.mu.Unlock()
	m.plugAll(held)
}

// Settle returns when nothing has turned up for a while that a driver was loaded for, and all drivers are loaded: a controller brings its disks, a
// keyboard its keys. HotPlug, which loads them, must be running.
func (m *Manager) Settle(ctx context.Context, quiet time.Duration) error {
	const often = 100 * time.Millisecond
	tick := time.NewTicker(often)
	defer tick.Stop()
	before := m.Counts()
	for still := time.Duration(0); still < quiet; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		still += often
		if now := m.Counts(); now != before || len(m.Loading()) > 0 {
			before, still = now, 0
		}
	}
	return nil
}

// keeps says whether the driver of a device is kept back for now.
func (m *Manager) keeps(alias string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.holding || !offNetwork(alias) {
		return false
	}
	m.held[alias] = true
	return true
}

// plugAll loads the drivers of these devices, and returns when all are loaded.
func (m *Manager) plugAll(aliases []string) {
	var all sync.WaitGroup
	for _, alias := range aliases {
		all.Go(func() { m.plug(alias) })
	}
	all.Wait()
}

// Counts are what a Manager has met so far.
type Counts struct {
	// Kinds of device (different modaliases), and the drivers asked for on their behalf, each counted once.
	Kinds, Drivers int
}

// Counts returns what the Manager has met so far.
func (m *Manager) Counts() Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Counts{len(m.seen), len(m.drivers)}
}

// Loading returns the modaliases of the devices whose drivers are being loaded now.
func (m *Manager) Loading() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.loading))
}

// ColdPlug loads the drivers first, one after the other, then those of all devices that are there now, several at a
// time, but for what Hold keeps back. Devices that a driver brings with it come as events, see HotPlug. It returns when all are loaded, which a
// driver that waits for its hardware can delay for long. An error is one of first.
func (m *Manager) ColdPlug(ctx context.Context, first []string) error {
	for _, name := range first {
		m.begin(name)
		_, err := m.loader.Load(name)
		m.end(name)
		if err != nil {
			return fmt.Errorf("load driver %s first: %w", name, err)
		}
	}
	aliases, err := m.aliases(ctx)
	slices.SortStableFunc(aliases, func(a, b string) int { return rank(a) - rank(b) })
	m.plugAll(aliases)
	return err
}

// aliases returns the modaliases of all devices. Every device that has one is on a bus; to walk through all of /sys/devices would take a
// slow machine a second.
func (m *Manager) aliases(ctx context.Context) ([]string, error) {
	names, err := fs.Glob(m.sys, "bus/*/devices/*")
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	var aliases []string
	for _, name := range names {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// Many devices have no driver to ask for, and one may leave while we look.
		if data, err := fs.ReadFile(m.sys, path.Join(name, "modalias")); err == nil {
			aliases = append(aliases, strings.TrimSpace(string(data)))
		}
	}
	return aliases, nil
}

// Aliases returns the modaliases of all devices that are there now and that a boot has a use for, each once.
func (m *Manager) Aliases(ctx context.Context) ([]string, error) {
	all, err := m.aliases(ctx)
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(alias string) bool { return !needed(alias) }), err
}

// rank orders modaliases: network cards first, since a lease takes its time. A PCI modalias names the class of the device behind "bc", 02
// is a network controller (include/linux/pci_ids.h).
func rank(alias string) int {
	if strings.HasPrefix(alias, "pci:") && strings.Contains(alias, "bc02") {
		return 0
	}
	return 1
}

// needed tells modaliases that a boot has a use for. What a processor can do besides (cpu:) are fast ciphers, whose self-tests take
// a slow machine a second; the live system loads them again by itself.
func needed(alias string) bool { return alias != "" && !strings.HasPrefix(alias, "cpu:") }

// offNetwork tells modaliases of devices that are no network card, and that normally none is behind. The kernel's scripts/mod/file2alias.c has the form of
// each bus.
func offNetwork(alias string) bool {
	bus, rest, _ := strings.Cut(alias, ":")
	// class is the two hexadecimal digits behind a key. Keys are small letters, digits capital ones.
	class := func(key string) string {
		_, number, _ := strings.Cut(rest, key)
		return number[:min(len(number), 2)]
	}
	switch bus {
	case "scsi", "ide", "mmc", "input", "serio", "hid":
		return true
	case "acpi": // power and sleep buttons, and the lid
		name, _, _ := strings.Cut(rest, ":")
		return slices.Contains([]string{"LNXPWRBN", "LNXSLPBN", "PNP0C0C", "PNP0C0D", "PNP0C0E"}, name)
	case "pci": // storage, displays, multimedia, input: include/linux/pci_ids.h
		if strings.HasPrefix(rest, "v00008086") && strings.Contains(rest, "bc01sc04") {
			return false // Intel's VMD: a bridge to buses of its own, which says that it is a RAID
		}
		return slices.Contains([]string{"01", "03", "04", "09"}, class("bc"))
	case "usb": // of an interface: audio, HID, printer, storage, video: https://www.usb.org/defined-class-codes
		return slices.Contains([]string{"01", "03", "07", "08", "0E"}, class("ic"))
	case "virtio": // block, SCSI, GPU, input: Virtual I/O Device (VIRTIO) 1.2, section 5
		return slices.Contains([]string{"d00000002", "d00000008", "d00000010", "d00000012"}, rest[:min(len(rest), len("d00000000"))])
	}
	return false
}

// HotPlug loads drivers for the devices that events tell of, until the events end (because the listener was closed). It does not
// wait for drivers that are being loaded then.
func (m *Manager) HotPlug(ctx context.Context, events Receiver) error {
	for {
		event, err := events.Receive()
		switch {
		case errors.Is(err, os.ErrClosed):
			return nil
		case errors.Is(err, unix.ENOBUFS):
			// Events were lost: what they told of is in /sys.
			aliases, err := m.aliases(ctx)
			if err != nil {
				return err
			}
			for _, alias := range aliases {
				go m.plug(alias)
			}
		case err != nil:
			return err
		case event.Action == "add":
			go m.plug(event.Env["MODALIAS"])
		}
	}
}

// plug loads the drivers for one modalias, unless that was done before, nobody needs them, or they are kept back.
func (m *Manager) plug(alias string) {
	if !needed(alias) || m.keeps(alias) || !m.begin(alias) {
		return
	}
	m.places <- struct{}{}
	names, err := m.loader.Load(alias)
	<-m.places
	if err != nil && !errors.Is(err, module.ErrNotFound) {
		m.report(fmt.Errorf("driver for %s: %w", alias, err))
	}
	m.end(alias, names...)
}

// end notes that the drivers for alias, of these names, are loaded.
func (m *Manager) end(alias string, names ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.loading, alias)
	for _, name := range names {
		m.drivers[name] = true
	}
}

// begin notes that the drivers for alias are being loaded, and reports whether this is the first time.
func (m *Manager) begin(alias string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen[alias] {
		return false
	}
	m.seen[alias], m.loading[alias] = true, true
	return true
}
