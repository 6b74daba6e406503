package boot

import (
	"bytes"
	"cmp"
	"context"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/cmdline"
	"github.com/liveboot/liveboot/pkg/device"
	"github.com/liveboot/liveboot/pkg/handoff"
	"github.com/liveboot/liveboot/pkg/iso/isotest"
	"github.com/liveboot/liveboot/pkg/kernel/clock/clocktest"
	"github.com/liveboot/liveboot/pkg/kernel/loop/looptest"
	"github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/pkg/kernel/module/moduletest"
	"github.com/liveboot/liveboot/pkg/kernel/mount"
	"github.com/liveboot/liveboot/pkg/kernel/mount/mounttest"
	"github.com/liveboot/liveboot/pkg/kernel/uevent"
	"github.com/liveboot/liveboot/pkg/live"
	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/reach"
	"github.com/liveboot/liveboot/pkg/plan"
	"github.com/liveboot/liveboot/pkg/stream/daemon"
	"github.com/liveboot/liveboot/pkg/target"
)

var update = flag.Bool("update", false, "write the golden files")

const release = "6.1.0-test"

// machine is a machine that records what is done to it.
type machine struct {
	t     *testing.T
	root  string
	mu    sync.Mutex
	lines []string

	// disk is the RAM disk, sda a disk, nil for none.
	disk bytes.Buffer
	sda  *sda
	// loops are the commands that would attach the loop devices.
	loops []string
	// container is what is seen where the container is mounted, by path; a trailing slash makes a folder.
	container []string
	// init is the live root's program; nil leaves it out.
	init []byte
	// modules is the kernel for which the live root has modules; empty for none.
	modules string
	// systemd tells that the live root has systemd, and in it what loads the drivers of all devices.
	systemd bool
	// onModprobe is told of each module that is loaded.
	onModprobe func(command string)
	// aliases are those of devices beside the network card, brings those of devices that a module brings.
	aliases []string
	brings  map[string]string
	// lacks is a module that the live root has not, of those of its kernel.
	lacks string
	// memory that is available, in KiB.
	memory int
	mounts func(mount.Point) error
	// ext4 is a module, where otherwise the kernel has it built in.
	ext4 bool
	// stream starts the streaming process.
	stream func(daemon.Job) (Streaming, error)
	noLink bool
	// plugged is closed when the network card appears; nil for one that is there.
	plugged chan struct{}
	server  http.Handler
	// image is its path on the server; empty is /x.iso.
	image string
	line  string // the kernel's command line
	// clock is what the clock shows at the start.
	clock time.Time
	// endpoints are the servers that the network had to reach.
	endpoints []reach.Endpoint
	steps     []string // what rd.debug would show
}

// program is a script whose interpreter needs none itself.
const program = "#!/bin/true\n"

// static is an ELF program for a machine, of which nothing is loaded: it has no dynamic loader.
func static(machine elf.Machine) []byte {
	header := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT), Ehsize: 64, Phoff: 64, Phentsize: 56, Phnum: 1,
	}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS], header.Ident[elf.EI_DATA], header.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	var b bytes.Buffer
	// A buffer takes everything.
	_ = binary.Write(&b, binary.LittleEndian, header)
	_ = binary.Write(&b, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_LOAD)})
	return b.Bytes()
}

// here is the machine that the test runs on.
func here() elf.Machine {
	if runtime.GOARCH == "arm64" {
		return elf.EM_AARCH64
	}
	return elf.EM_X86_64
}

func newMachine(t *testing.T) *machine {
	return &machine{
		t: t, root: t.TempDir(), memory: 1 << 20,
		container: []string{"LiveOS/rootfs.img"}, init: []byte(program),
	}
}

// log takes a command, with the paths as they would be on a real machine.
func (m *machine) log(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = append(m.lines, strings.ReplaceAll(fmt.Sprintf(format, args...), m.root, ""))
}

func (m *machine) path(name string) string { return filepath.Join(m.root, name) }

func (m *machine) write(name string, data []byte, mode fs.FileMode) {
	m.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(m.path(name)), 0o755), os.WriteFile(m.path(name), data, mode)); err != nil {
		m.t.Fatal(err)
	}
}

// mount lays out what a mount would show.
func (m *machine) mount(p mount.Point) error {
	if m.mounts != nil {
		if err := m.mounts(p); err != nil {
			m.log("# that failed, as umount %s", p.Target)
			return err
		}
	}
	target := strings.TrimPrefix(p.Target, m.root)
	switch {
	case target == "/run/overlay/squashfs_container":
		for _, name := range m.container {
			if folder, ok := strings.CutSuffix(name, "/"); ok {
				if err := os.MkdirAll(filepath.Join(p.Target, folder), 0o755); err != nil {
					return err
				}
				continue
			}
			m.write(filepath.Join(target, name), nil, 0o644)
		}
	case p.Type == "overlay" && m.init != nil:
		m.write(filepath.Join(target, "sbin/init"), m.init, 0o755)
		m.write(filepath.Join(target, "bin/true"), static(here()), 0o755)
		if m.modules != "" {
			var dep strings.Builder
			for _, name := range []string{"usb_storage", "sd_mod"} {
				if name != m.lacks {
					dep.WriteString("kernel/" + name + ".ko.xz:\n")
				}
			}
			m.write(filepath.Join(target, "lib/modules", m.modules, "modules.dep"), []byte(dep.String()), 0o644)
			m.write(filepath.Join(target, "lib/modules", m.modules, "modules.builtin"), nil, 0o644)
		}
		if m.systemd {
			const folder = "usr/lib/systemd"
			m.write(filepath.Join(target, folder, "systemd"), m.init, 0o755)
			m.write(filepath.Join(target, folder, "system/sysinit.target.wants/systemd-udev-trigger.service"), nil, 0o644)
			return errors.Join(os.Remove(m.path(target+"/sbin/init")), os.Symlink("../usr/lib/systemd/systemd", m.path(target+"/sbin/init")))
		}
	}
	return nil
}

// file is what is on a device: a squashfs behind the loop device with the container, an ext4 behind that with the root.
type file struct{ *bytes.Reader }

func (file) Close() error { return nil }

func (m *machine) open(path string) (live.File, error) {
	if n, ok := strings.CutPrefix(path, "/dev/loop"); ok {
		number, err := strconv.Atoi(n)
		if err != nil || number >= len(m.loops) {
			return nil, fs.ErrNotExist
		}
		path = "rootfs"
		if strings.Contains(m.loops[number], " -o ") {
			path = "container"
		}
	}
	if strings.HasPrefix(path, m.root) {
		return os.Open(path)
	}
	switch path {
	case "/dev/sda":
		if m.sda.bad {
			return badDisk{}, nil
		}
		return file{bytes.NewReader(m.sda.data)}, nil
	case "/dev/sr0":
		return file{bytes.NewReader(make([]byte, 1<<20))}, nil
	case target.RAMDisk:
		return file{bytes.NewReader(m.disk.Bytes())}, nil
	case "/dev/dm-0":
		return file{bytes.NewReader(image)}, nil
	case "container":
		return file{bytes.NewReader(append([]byte("hsqs"), make([]byte, 4096)...))}, nil
	case "rootfs":
		super := make([]byte, 4096)
		copy(super[1024+56:], "\x53\xef")
		return file{bytes.NewReader(super)}, nil
	}
	return nil, fs.ErrNotExist
}

func (m *machine) WriteAt(p []byte, offset int64) (int, error) {
	if offset != int64(m.disk.Len()) {
		return 0, fmt.Errorf("write at %d", offset)
	}
	return m.disk.Write(p)
}

func (m *machine) Close() error {
	m.log("# the image is on %s", target.RAMDisk)
	return nil
}

// events is a kernel in which devices appear that modules bring.
type events struct {
	closed chan struct{}
	added  chan string // modaliases
}

func (e events) Receive() (uevent.Event, error) {
	select {
	case alias := <-e.added:
		return uevent.Event{Action: "add", Env: map[string]string{"MODALIAS": alias}}, nil
	case <-e.closed:
		return uevent.Event{}, os.ErrClosed
	}
}
func (e events) Close() error { close(e.closed); return nil }

// links is a machine with one card.
type links struct{ m *machine }

func (l links) Watch(ctx context.Context) (<-chan network.Link, error) {
	c := make(chan network.Link, 1)
	card := network.Link{Index: 2, Name: "eth0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Up: true, Carrier: true}
	if !l.m.noLink && l.m.plugged == nil {
		c <- card
	}
	go func() {
		select {
		case <-l.m.plugged:
			c <- card
		case <-ctx.Done():
		}
		<-ctx.Done()
		close(c)
	}()
	return c, nil
}

func (links) Change(network.Link, network.Change) error { return nil }
func (links) Make(network.Virtual, network.Link) error  { return nil }
func (links) Join(network.Link, string) error           { return nil }
func (links) Remove(network.Link, network.Lease) error  { return nil }
func (l links) Configure(_ context.Context, link network.Link, lease network.Lease) error {
	l.m.log("ip address replace %v dev %s", lease.Address, link.Name)
	return nil
}

// dhcp is a Client that has a lease at once.
type dhcp struct{ network.Client }

func (dhcp) Acquire(context.Context, network.Link, func(int)) (network.Lease, error) {
	return network.Lease{
		Method:  network.DHCP4,
		Address: netip.MustParsePrefix("10.0.2.15/24"), Server: netip.MustParseAddr("10.0.2.2"), Resolvers: []netip.Addr{netip.MustParseAddr("10.0.2.3")},
		Routes: []network.Route{{Destination: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("10.0.2.2")}},
	}, nil
}

func (m *machine) machine() Machine {
	dep := "kernel/brd.ko:\nkernel/loop.ko:\nkernel/isofs.ko:\nkernel/squashfs.ko:\nkernel/overlay.ko:\nkernel/nbd.ko:\nkernel/dm-mod.ko:\nkernel/nic.ko:\nkernel/sd_mod.ko:\nkernel/usb_storage.ko:\n"
	aliases := "alias fs-iso9660 isofs\nalias fs-squashfs squashfs\nalias fs-overlay overlay\nalias pci:nic nic\nalias scsi:t-0x00* sd_mod\nalias usb:*ic08* usb_storage\n"
	if m.ext4 {
		dep, aliases = dep+"kernel/ext4.ko:\n", aliases+"alias fs-ext4 ext4\n"
	}
	m.write("lib/modules/"+release+"/modules.dep", []byte(dep), 0o644)
	m.write("lib/modules/"+release+"/modules.alias", []byte(aliases), 0o644)
	m.write("proc/meminfo", fmt.Appendf(nil, "MemTotal: %d kB\nMemAvailable: %d kB\n", 2*m.memory, m.memory), 0o644)
	m.write(handoff.ShutdownProgram, []byte("shutdown"), 0o755)
	m.write("proc/cmdline", []byte(m.line), 0o644)
	m.write("proc/filesystems", []byte("nodev\tproc\n\text4\n"), 0o644)
	sys := fstest.MapFS{"bus/pci/devices/0000:00:03.0/modalias": {Data: []byte("pci:nic\n")}}
	for i, alias := range m.aliases {
		sys[fmt.Sprintf("bus/any/devices/%d/modalias", i)] = &fstest.MapFile{Data: []byte(alias + "\n")}
	}
	added := make(chan string, 8)
	return Machine{
		Root: m.root, Proc: os.DirFS(m.root), Version: "v1", Release: release,
		Sys: sys,
		Modules: func(s device.Spec) (Modules, error) {
			return module.Open(m.root, release, moduletest.Recorder{Log: func(c string) {
				m.log("%s", c)
				if m.onModprobe != nil {
					m.onModprobe(c)
				}
				if alias := m.brings[strings.TrimPrefix(c, "modprobe ")]; alias != "" {
					added <- alias
				}
			}}, module.Options{Blacklist: s.Blacklist})
		},
		Uevents: func() (Uevents, error) { return events{make(chan struct{}), added}, nil },
		Mounter: mounttest.Recorder{Log: func(c string) { m.log("%s", c) }, OnMount: m.mount},
		Loops: &looptest.Recorder{Log: func(c string) {
			m.log("%s", c)
			m.loops = append(m.loops, c)
		}},
		Network: network.Environment{Kernel: links{m}},
		Clients: func(network.Timeouts, map[string]netip.Addr) map[network.Method]network.Client {
			return map[network.Method]network.Client{network.DHCP4: dhcp{}}
		},
		Clock: &clocktest.Recorder{Start: m.clock, Log: func(c string) { m.log("%s", c) }},
		Reach: func(endpoints []reach.Endpoint) func(context.Context, network.Link, network.Lease) error {
			m.endpoints = endpoints
			return func(context.Context, network.Link, network.Lease) error { return nil }
		},
		Size:           func(string) (int64, error) { return int64(len(image)+4095) / 4096 * 4096, nil },
		OpenTarget:     func(string) (target.Writer, error) { return m, nil },
		Open:           m.open,
		Disks:          m.sda,
		OpenDisk:       m.sda.open,
		ReadPartitions: m.sda.readPartitions,
		StartStream:    m.stream,
		Map: func(name, disk string, offset, size int64) (string, error) {
			m.log("dmsetup create %s --table '0 %d linear %s %d'", name, size/512, disk, offset/512)
			return "/dev/dm-1", nil
		},
		Uptime: func() time.Duration { return 0 },
		Base:   m.path("run/overlay"), NewRoot: m.path("sysroot"),
		Pause: func(s plan.Stage) error {
			m.log("# paused before %s", s)
			return nil
		},
	}
}

// screen is a Console that keeps what it was told.
type screen struct {
	m *machine
}

func (s screen) Stagef(stage, format string, args ...any) {
	s.m.log("# %s: %s", stage, fmt.Sprintf(format, args...))
}
func (s screen) Warnf(format string, args ...any) {
	s.m.log("# warning: %s", fmt.Sprintf(format, args...))
}
func (s screen) Debugf(format string, args ...any) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.steps = append(s.m.steps, fmt.Sprintf(format, args...))
}
func (screen) Progress(string, int64, int64) {}
func (screen) ProgressDone()                 {}

var image = isotest.Image("CDROM", map[string]string{"LiveOS/squashfs.img": strings.Repeat("hsqs", 1000)})

// boot boots m from a server that has image, with the options added to the line. It returns the error and the server's address.
func (m *machine) boot(options string) error {
	if m.server == nil {
		m.server = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(image))
		})
	}
	server := httptest.NewServer(m.server)
	defer server.Close()
	m.line = "root=live:" + server.URL + cmp.Or(m.image, "/x.iso") + " " + options
	p, err := plan.Parse(cmdline.Parse(m.line))
	if err != nil {
		m.t.Fatalf("plan: %v", err)
	}
	_, err = Run(m.t.Context(), p, m.machine(), screen{m})
	for i, line := range m.lines {
		m.lines[i] = strings.ReplaceAll(line, server.URL, "http://server")
	}
	return err
}

// TestRun compares what a boot does, printed as the commands that would do the same, with the golden files.
func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options string
		change  func(*machine)
	}{
		{"root-image", "", nil},
		{"container-is-root", "rootflags=noatime,metacopy=on rd.live.overlay.size=1g", func(m *machine) { m.container = []string{"proc/", "usr/"} }},
		{"paused", "rd.break=fetch rd.break", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			if tt.change != nil {
				tt.change(m)
			}
			if err := m.boot(tt.options); err != nil {
				t.Fatalf("Run: %v", err)
			}
			if !bytes.Equal(m.disk.Bytes()[:len(image)], image) {
				t.Error("the RAM disk does not hold the image")
			}
			golden(t, tt.name, m.sequence())
			steps := strings.Join(m.steps, "\n")
			for _, want := range []string{"link eth0", "modprobe pci:nic: nic", "modprobe brd rd_nr=1", "ip address replace", "losetup -r", "mount -t overlay"} {
				if !strings.Contains(steps, want) {
					t.Errorf("the steps lack %q:\n%s", want, steps)
				}
			}
			checkReport(t, m)
		})
	}
}

// sequence returns the commands, in a fixed order those of what runs beside each other at the beginning, and the modules that are loaded at some time then or
// when they are needed.
func (m *machine) sequence() string {
	ahead := []string{"modprobe dm_mod", "modprobe ext4", "modprobe isofs", "modprobe loop", "modprobe overlay", "modprobe squashfs"}
	early := []string{"# devices", "# network", "modprobe nic", "ip address"}
	order := func(line string) int {
		return slices.IndexFunc(early, func(prefix string) bool { return strings.HasPrefix(line, prefix) })
	}
	var loaded, others []string
	for _, line := range m.lines {
		if slices.Contains(ahead, line) {
			loaded = append(loaded, line)
		} else {
			others = append(others, line)
		}
	}
	slices.Sort(loaded)
	n := slices.IndexFunc(others, func(line string) bool { return order(line) < 0 })
	if n < 0 {
		n = len(others)
	}
	slices.SortStableFunc(others[:n], func(a, b string) int { return cmp.Compare(order(a), order(b)) })
	return strings.Join(slices.Concat(others[:n], loaded, others[n:]), "\n") + "\n"
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./pkg/boot -update writes it)", err)
	}
	if diff := gocmp.Diff(string(want), got); diff != "" {
		t.Errorf("Run did (-want +got):\n%s", diff)
	}
}

func checkReport(t *testing.T, m *machine) {
	t.Helper()
	data, err := os.ReadFile(m.path(ReportPath))
	if err != nil {
		t.Fatal(err)
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	if r.Image.Bytes != int64(len(image)) || r.Kernel != release || r.Device != "/dev/ram0" || len(r.Stages) != 8 {
		t.Errorf("report = %s", data)
	}
}

// TestRunHoldsDrivers: of an image that streams, the live system loads the drivers that the network is not behind, where it does and has them. In all
// other cases they are loaded before it starts, with those of what they bring.
func TestRunHoldsDrivers(t *testing.T) {
	ours := func(m *machine) { m.systemd, m.modules = true, release }
	for _, tt := range []struct {
		name, options string
		change        func(*machine)
		want          bool   // they are loaded
		before        string // what comes behind it
	}{
		{"downloaded", "", ours, true, "modprobe brd"},
		{"to be streamed, but small", "rd.liveboot.stream=auto", ours, true, "modprobe brd"},
		{"streamed, and systemd loads them", "rd.liveboot.stream=on", ours, false, ""},
		{"streamed, and systemd has no modules", "rd.liveboot.stream=on", func(m *machine) { m.systemd = true }, true, "# handoff"},
		{"streamed, and systemd has others", "rd.liveboot.stream=on", func(m *machine) { m.systemd, m.modules = true, "6.12.94" }, true, "# handoff"},
		{"streamed, and systemd lacks one", "rd.liveboot.stream=on", func(m *machine) { ours(m); m.lacks = "usb_storage" }, true, "# handoff"},
		{"streamed, and another init", "rd.liveboot.stream=on", func(m *machine) { m.modules = release }, true, "# handoff"},
		{"streamed, to an emergency", "rd.liveboot.stream=on emergency", ours, true, "# handoff"},
		{"a person looks around", "rd.break=live rd.liveboot.stream=on", ours, true, "# paused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // some wait until it is quiet
			m := newMachine(t)
			m.aliases = []string{"usb:v0781p5583d0100dc00dsc00dp00ic08isc06ip50in00"}
			loaded := []string{"modprobe usb_storage"}
			if !tt.want || tt.before == "# handoff" { // what a download's drivers bring is not waited for
				m.brings = map[string]string{"usb_storage": "scsi:t-0x00"}
				loaded = append(loaded, "modprobe sd_mod")
			}
			m.server = ranged(image, nil)
			m.stream = func(daemon.Job) (Streaming, error) { return newStreaming(m, isReady), nil }
			tt.change(m)
			if err := m.boot(tt.options); err != nil {
				t.Fatalf("Run: %v", err)
			}
			behind := slices.IndexFunc(m.lines, func(line string) bool { return strings.HasPrefix(line, tt.before) })
			for _, command := range loaded {
				at := slices.Index(m.lines, command)
				if (at >= 0) != tt.want {
					t.Errorf("%s was run: %v, want %v\n%s", command, at >= 0, tt.want, m.sequence())
				}
				if tt.want && at > behind {
					t.Errorf("%s was run behind %q:\n%s", command, tt.before, m.sequence())
				}
			}
		})
	}
}

// TestRunCardElsewhere: a network card behind a device that was taken for something else comes up as well, only later. The boot does not end while a
// driver that it began to load then is at its start.
func TestRunCardElsewhere(t *testing.T) {
	t.Parallel() // it takes holdPatience
	m := newMachine(t)
	m.aliases = []string{"scsi:t-0x00"}
	m.server = ranged(image, nil)
	m.stream = func(daemon.Job) (Streaming, error) { return newStreaming(m, isReady), nil }
	m.plugged = make(chan struct{})
	m.systemd, m.modules = true, release
	var started atomic.Bool
	m.onModprobe = func(command string) {
		if command == "modprobe sd_mod" {
			close(m.plugged)
			time.Sleep(time.Second) // as hardware does
			started.Store(true)
		}
	}
	if err := m.boot("rd.net.timeout.iflink=60 rd.liveboot.stream=on"); err != nil {
		t.Errorf("Run: %v\n%s", err, m.sequence())
	}
	if !started.Load() {
		t.Error("the boot ended while a driver was at its start")
	}
}

// TestRunLoadsAhead: what streaming and the mounts need is loaded while the network is waited for.
func TestRunLoadsAhead(t *testing.T) {
	m := newMachine(t)
	m.ext4 = true
	m.server = ranged(image, nil)
	m.stream = func(daemon.Job) (Streaming, error) { return newStreaming(m, isReady), nil }
	m.plugged = make(chan struct{})
	var mu sync.Mutex
	missing := []string{"modprobe dm_mod", "modprobe loop", "modprobe isofs", "modprobe squashfs", "modprobe overlay", "modprobe ext4"}
	m.onModprobe = func(command string) {
		mu.Lock()
		defer mu.Unlock()
		n := len(missing)
		missing = slices.DeleteFunc(missing, func(wanted string) bool { return wanted == command })
		if len(missing) == 0 && n > 0 {
			close(m.plugged)
		}
	}
	if err := m.boot("rd.net.timeout.iflink=60 rd.liveboot.stream=on"); err != nil {
		t.Errorf("Run: %v\n%s", err, m.sequence())
	}
}

// TestLoadAhead: when the network is there nothing more is loaded that may not be needed; nor ever nbd, whose parameters would be those of a live system that is
// not streamed.
func TestLoadAhead(t *testing.T) {
	for _, tt := range []struct {
		name, options, last string
		want                []string
	}{
		{"downloaded", "", "", []string{"modprobe loop", "modprobe isofs", "modprobe squashfs", "modprobe overlay", "modprobe ext4"}},
		{"perhaps streamed", "rd.liveboot.stream=auto", "", []string{"modprobe dm_mod", "modprobe loop", "modprobe isofs", "modprobe squashfs", "modprobe overlay", "modprobe ext4"}},
		{"connected meanwhile", "", "modprobe isofs", []string{"modprobe loop", "modprobe isofs"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			m.ext4 = true
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			m.onModprobe = func(command string) {
				if command == tt.last {
					cancel()
				}
			}
			b := runOf(t, m, tt.options)
			if err := b.loadModules(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.loadAhead(ctx)
			if diff := gocmp.Diff(tt.want, m.lines); diff != "" {
				t.Errorf("loadAhead ran (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLoadDrivers: after a failure devices get their drivers, also what a driver brings.
func TestLoadDrivers(t *testing.T) {
	m := newMachine(t)
	m.aliases = []string{"usb:v0781p5583d0100dc00dsc00dp00ic08isc06ip50in00"}
	m.brings = map[string]string{"usb_storage": "scsi:t-0x00"}
	ctx, cancel := context.WithCancel(t.Context())
	loaded := make(chan string, 8)
	m.onModprobe = func(command string) { loaded <- command }
	done := make(chan error)
	go func() { done <- LoadDrivers(ctx, device.Spec{}, m.machine(), screen{m}) }()
	got := []string{<-loaded, <-loaded, <-loaded}
	slices.Sort(got)
	if diff := gocmp.Diff([]string{"modprobe nic", "modprobe sd_mod", "modprobe usb_storage"}, got); diff != "" {
		t.Errorf("LoadDrivers ran (-want +got):\n%s", diff)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("LoadDrivers: %v", err)
	}
}

// TestRunModules: a live system that was made for another kernel is booted, with a warning that names both.
func TestRunModules(t *testing.T) {
	for _, tt := range []struct {
		version string
		warned  bool
	}{{release, false}, {"6.12.94", true}} {
		m := newMachine(t)
		m.modules = tt.version
		if err := m.boot(""); err != nil {
			t.Fatal(err)
		}
		warning := "# warning: the live system has no modules for the running kernel " + release + ", only for " + tt.version
		if got := strings.Contains(m.sequence(), warning); got != tt.warned {
			t.Errorf("modules for %s under %s: warned %v, want %v\n%s", tt.version, release, got, tt.warned, m.sequence())
		}
	}
}

func TestRunErrors(t *testing.T) {
	wrongSum := "rd.liveboot.sha256=" + strings.Repeat("0", 64)
	for _, tt := range []struct {
		name    string
		options string
		change  func(*machine)
		stage   plan.Stage
		want    string
		hint    string
	}{
		{"no card", "rd.net.timeout.iflink=1", func(m *machine) { m.noLink = true }, plan.Network, "found no network card", "check cable"},
		{"404", "", func(m *machine) { m.server = http.NotFoundHandler() }, plan.Fetch, "404 Not Found", "check the path"},
		{"too little memory", "", func(m *machine) { m.memory = 1 << 10 }, plan.Target, "are available", "more memory"},
		{"RAM disk too small", "ramdisk_size=4", nil, plan.Target, "larger than the RAM disk", "take ramdisk_size= off"},
		{"wrong digest", wrongSum, nil, plan.Fetch, "is not the expected one", "compare with sha256sum"},
		{"cut off, and then gone", "", func(m *machine) {
			var cut bool
			m.server = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if cut || strings.Contains(r.URL.Path, ".sha") {
					http.NotFound(w, r)
					return
				}
				cut = true
				w.Header().Set("Content-Length", fmt.Sprint(len(image)))
				w.Write(image[:len(image)-1])
			})
		}, plan.Fetch, "404 Not Found", "check the path"},
		{"truncated on the server", "", func(m *machine) {
			m.server = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(image[:len(image)-2048]) })
		}, plan.Fetch, "truncated", "incomplete"},
		{"a web page", "", func(m *machine) {
			m.server = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte("<p>"), 50000)) })
		}, plan.Fetch, "not an ISO 9660 image", "error page"},
		{"no live folder", "rd.live.dir=casper", nil, plan.Live, `the ISO "CDROM" holds no live system: it has no file casper/squashfs.img`, "rd.live.dir="},
		{"container without a root", "", func(m *machine) { m.container = []string{"etc/"} }, plan.Live, "holds neither LiveOS/rootfs.img nor", "rd.live.dir="},
		{"mount fails", "", func(m *machine) {
			m.mounts = func(p mount.Point) error {
				if p.Type == "ext4" {
					return errors.New("structure needs cleaning")
				}
				return nil
			}
		}, plan.Live, "structure needs cleaning", "may be damaged"},
		{"truncated on the server, and announced so", "", func(m *machine) {
			m.server = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(image[:len(image)-2048]))
			})
		}, plan.Fetch, "truncated", "incomplete"},
		{"no init", "", func(m *machine) { m.init = nil }, plan.Handoff, "init /sbin/init, /usr/lib", "init="},
		{"init of another kind", "", func(m *machine) { m.init = []byte("hello") }, plan.Handoff, "neither a program nor a script", "init="},
		{"init of another architecture", "", func(m *machine) { m.init = static(elf.EM_S390) }, plan.Handoff, "the image is for another architecture", "init="},
		{"named init missing", "init=/bin/nothing", nil, plan.Handoff, "init /bin/nothing of the live system", "init="},
		{"driver to load first is missing", "rd.driver.pre=nothing", nil, plan.Devices, "load driver nothing first", "lacks a driver"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			if tt.change != nil {
				tt.change(m)
			}
			err := m.boot(tt.options)
			var staged *StageError
			if !errors.As(err, &staged) || staged.Stage != tt.stage || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Run = %v, want an error of stage %s with %q", err, tt.stage, tt.want)
			}
			if hint := Hint(err); !strings.Contains(hint, tt.hint) || (hint == "") != (tt.hint == "") {
				t.Errorf("Hint(%v) = %q, want %q", err, hint, tt.hint)
			}
			mounted := make(map[string]bool)
			for _, line := range m.lines {
				words := strings.Fields(line)
				switch {
				case words[0] == "mount":
					mounted[words[len(words)-1]] = true
				case len(words) > 1 && words[len(words)-2] == "umount":
					delete(mounted, words[len(words)-1])
				}
			}
			if tt.stage == plan.Live && len(mounted) > 1 {
				t.Errorf("after the error %v are still mounted, want only /run/overlay", mounted)
			}
		})
	}
}

func TestMissingModules(t *testing.T) {
	m := newMachine(t)
	p, err := plan.Parse(cmdline.Parse("root=live:http://h/i"))
	if err != nil {
		t.Fatal(err)
	}
	mm := m.machine()
	mm.Modules = func(device.Spec) (Modules, error) { return module.Open(m.root, "6.9-other", nil, module.Options{}) }
	_, err = Run(t.Context(), p, mm, screen{m})
	if err == nil || !strings.Contains(err.Error(), "no modules of the running kernel 6.9-other") || !strings.Contains(Hint(err), "do not belong together") {
		t.Errorf("Run = %v (%s), want an error that names the kernel", err, Hint(err))
	}
}

func TestImageVersion(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"mkinitramfs's", `{"version":"v0.1-3-gabc","kernel":"6.1"}`, "v0.1-3-gabc"},
		{"empty", `{}`, "of unknown version"},
		{"garbage", `{`, "of unknown version"},
	} {
		root := fstest.MapFS{"etc/liveboot/image.json": {Data: []byte(tt.in)}}
		if got := imageVersion(root); got != tt.want {
			t.Errorf("imageVersion(%s) = %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := imageVersion(fstest.MapFS{}); got != "of unknown version" {
		t.Errorf("imageVersion of an image without one = %q", got)
	}
}
