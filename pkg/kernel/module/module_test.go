package module_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/pkg/kernel/module/moduletest"
)

const version = "6.1.0-test"

func tree() map[string]string {
	return map[string]string{
		"modules.dep": `kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko
kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
kernel/net/core/failover.ko:
kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko
kernel/lib/crc16.ko:
kernel/crypto/crc32c_generic.ko:
kernel/drivers/block/brd.ko:
kernel/drivers/net/r8169.ko: kernel/drivers/net/phy/libphy.ko
kernel/drivers/net/phy/libphy.ko:
kernel/drivers/net/phy/realtek.ko: kernel/drivers/net/phy/libphy.ko
`,
		"modules.alias": `# Aliases extracted from modules themselves.
alias virtio:d00000001v* virtio_net
alias pci:v000010ECd00008168sv*sd*bc*sc*i* r8169
alias fs-ext4 ext4
alias crypto-crc32c crc32c_generic
alias crc32c crc32c_generic
alias dmi*:svnLEGO*:pn[A-C]?x* brd
`,
		"modules.softdep": `softdep ext4 pre: crc32c
softdep r8169 pre: realtek
softdep realtek pre: r8169
`,
		"modules.builtin": "kernel/fs/squashfs/squashfs.ko\n",
	}
}

func index(t *testing.T) *module.Index {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range tree() {
		fsys["m/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	x, err := module.ReadIndex(fsys, "m")
	if err != nil {
		t.Fatalf("ReadIndex: %v", err)
	}
	return x
}

func TestResolve(t *testing.T) {
	x := index(t)
	for _, tt := range []struct {
		in   string
		want []string
	}{
		{"virtio:d00000001v00001AF4", []string{"virtio_net"}},
		{"virtio:d00000002v00001AF4", nil},
		{"pci:v000010ECd00008168sv00001AF4sd00001100bc02sc00i00", []string{"r8169"}},
		{"fs-ext4", []string{"ext4"}},
		{"virtio-net", []string{"virtio_net"}},
		{"squashfs", []string{"squashfs"}},
		{"dmi:bvnA/B:svnLEGO/x:pnBzx", []string{"brd"}},
		{"dmi:bvnA/B:svnLEGO/x:pnDzx", nil},
		{"", nil},
	} {
		if diff := cmp.Diff(tt.want, x.Resolve(tt.in)); diff != "" {
			t.Errorf("Resolve(%q) (-want +got):\n%s", tt.in, diff)
		}
	}
}

type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, s)
}

func loader(t *testing.T, r moduletest.Recorder, o module.Options) *module.Loader {
	t.Helper()
	root := t.TempDir()
	folder := filepath.Join(root, "lib/modules", version)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range tree() {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l, err := module.Open(root, version, r, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return l
}

func TestLoad(t *testing.T) {
	for _, tt := range []struct {
		name  string
		load  []string
		opts  module.Options
		want  []string
		names []string
	}{
		{"dependencies first", []string{"virtio:d00000001v00001AF4"}, module.Options{}, []string{"modprobe failover", "modprobe net_failover", "modprobe virtio_net"}, []string{"virtio_net"}},
		{"soft dependency by alias", []string{"fs-ext4"}, module.Options{}, []string{"modprobe crc32c_generic", "modprobe crc16", "modprobe ext4"}, []string{"ext4"}},
		{"soft dependencies in a circle", []string{"r8169"}, module.Options{}, []string{"modprobe libphy", "modprobe realtek", "modprobe r8169"}, []string{"r8169"}},
		{"built in", []string{"squashfs"}, module.Options{}, nil, []string{"squashfs"}},
		{"once", []string{"brd", "brd"}, module.Options{}, []string{"modprobe brd"}, []string{"brd"}},
		{"blacklisted for a device", []string{"virtio:d00000001v00001AF4"}, module.Options{Blacklist: []string{"virtio-net"}}, nil, nil},
		{"blacklisted but named", []string{"brd"}, module.Options{Blacklist: []string{"brd"}}, []string{"modprobe brd"}, []string{"brd"}},
		{"parameters", []string{"brd"}, module.Options{Parameters: map[string]string{"brd": "rd_nr=1"}}, []string{"modprobe brd rd_nr=1"}, []string{"brd"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got log
			l := loader(t, moduletest.Recorder{Log: got.add}, tt.opts)
			var names []string
			for _, name := range tt.load {
				var err error
				if names, err = l.Load(name); err != nil {
					t.Fatalf("Load(%q): %v", name, err)
				}
			}
			if diff := cmp.Diff(tt.want, got.lines); diff != "" {
				t.Errorf("Load(%q) ran (-want +got):\n%s", tt.load, diff)
			}
			if diff := cmp.Diff(tt.names, names, cmp.Transformer("len", func(s []string) string { return filepath.Join(s...) })); diff != "" {
				t.Errorf("Load(%q) names (-want +got):\n%s", tt.load, diff)
			}
		})
	}
}

// TestNames: what Load would load, without loading it.
func TestNames(t *testing.T) {
	var got log
	l := loader(t, moduletest.Recorder{Log: got.add}, module.Options{Blacklist: []string{"virtio-net", "brd"}})
	for name, want := range map[string]string{
		"pci:v000010ECd00008168sv0sd0bc02sc00i00": "r8169", "virtio:d00000001v00001AF4": "", "brd": "brd", "squashfs": "", "nothing": "",
	} {
		if names := filepath.Join(l.Names(name)...); names != want {
			t.Errorf("Names(%q) = %q, want %q", name, names, want)
		}
	}
	if len(got.lines) > 0 {
		t.Errorf("Names ran %q, want nothing", got.lines)
	}
}

func TestLoadErrors(t *testing.T) {
	broken := errors.New("exec format error")
	l := loader(t, moduletest.Recorder{Log: func(string) {}, OnInsert: func(name string) error {
		if name == "failover" {
			return broken
		}
		return nil
	}}, module.Options{})
	if _, err := l.Load("nothing"); !errors.Is(err, module.ErrNotFound) {
		t.Errorf("Load(nothing) = %v, want %v", err, module.ErrNotFound)
	}
	if _, err := l.Load("virtio_net"); !errors.Is(err, broken) {
		t.Errorf("Load(virtio_net) = %v, want %v", err, broken)
	}
	if _, err := module.Open(t.TempDir(), version, nil, module.Options{}); err == nil {
		t.Error("Open without modules: no error")
	}
}

func TestLoadWith(t *testing.T) {
	var got log
	l := loader(t, moduletest.Recorder{Log: got.add}, module.Options{})
	for _, name := range []string{"brd", "brd", "squashfs"} {
		if err := l.LoadWith(name, "rd_nr=1 rd_size=4096"); err != nil {
			t.Errorf("LoadWith(%s): %v", name, err)
		}
	}
	if err := l.LoadWith("nothing", ""); !errors.Is(err, module.ErrNotFound) {
		t.Errorf("LoadWith(nothing) = %v, want %v", err, module.ErrNotFound)
	}
	if diff := cmp.Diff([]string{"modprobe brd rd_nr=1 rd_size=4096"}, got.lines); diff != "" {
		t.Errorf("LoadWith ran (-want +got):\n%s", diff)
	}
}

func TestLoadAtOnce(t *testing.T) {
	var got log
	l := loader(t, moduletest.Recorder{Log: got.add}, module.Options{})
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if _, err := l.Load("virtio_net"); err != nil {
				t.Errorf("Load: %v", err)
			}
		})
	}
	all.Wait()
	if len(got.lines) != 3 {
		t.Errorf("16 loads at once ran %q, want each module once", got.lines)
	}
}

func FuzzIndex(f *testing.F) {
	for _, text := range tree() {
		f.Add(text, "pci:v000010ECd00008168sv0")
	}
	f.Add("alias [ x\nalias [] y\nalias \\ z\nalias *[!a]*?* w", "[")
	f.Fuzz(func(t *testing.T, text, name string) {
		fsys := fstest.MapFS{}
		for _, file := range []string{"modules.dep", "modules.alias", "modules.softdep", "modules.builtin"} {
			fsys["m/"+file] = &fstest.MapFile{Data: []byte(text)}
		}
		x, err := module.ReadIndex(fsys, "m")
		if err != nil {
			t.Fatalf("ReadIndex: %v", err)
		}
		x.Resolve(name)
	})
}
