package integration

import (
	"bytes"
	"context"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/liveboot/liveboot/integration/kiwi"
	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/fetch/blockcache"
	"github.com/liveboot/liveboot/pkg/isokernel"
	livesystem "github.com/liveboot/liveboot/pkg/live"
)

// The kernel of a real live ISO of KIWI's, with the modules that a boot needs, is taken out of the ISO at a web server: what travels is the
// initrd, and of everything else a few blocks.
func TestKernelOfKIWI(t *testing.T) {
	file, err := kiwi.ISO(context.WithoutCancel(t.Context()), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) }))
	defer server.Close()
	remote, err := fetch.OpenRanges(t.Context(), fetch.Source{URLs: []fetch.URL{fetch.URL(server.URL + "/live.iso")}}, fetch.Environment{Roots: "/"})
	if err != nil {
		t.Fatal(err)
	}
	defer remote.Close()
	image := blockcache.New(remote, remote.Size, blockcache.Options{})
	begin := time.Now()
	travelled := func(what string) {
		t.Logf("%-22s %6.2f MB in all, after %v", what, float64(remote.Received())/1e6, time.Since(begin).Round(time.Millisecond))
	}

	k, err := isokernel.Find(image, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	travelled("kernel found:")
	if k.Image.Path != "boot/x86_64/loader/linux" || len(k.Initrds) != 1 || k.Entry != "kiwi-live" || k.Options != "console=ttyS0" {
		t.Errorf("Find = %s with %d initrds, %q of %q, want KIWI's of its menu's first entry", k.Image.Path, len(k.Initrds), k.Options, k.Entry)
	}
	spec := livesystem.Spec{Dir: "LiveOS", Container: "squashfs.img"}
	versions, root, err := isokernel.RootModules(image, spec)
	if err != nil || !slices.Equal(versions, []string{k.Info.Release}) {
		t.Errorf("RootModules = %q, %v, want %q", versions, err, k.Info.Release)
	}
	travelled("modules of the root:")

	wish := isokernel.Wish{Names: []string{"virtio:d00000001v00001AF4", "pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00", "acpi:PNP0C0C:", "ext4", "xfs", "nbd", "dm_mod", "usb_storage"}}
	for _, name := range []string{"fs-squashfs", "fs-overlay", "loop", "fs-iso9660", "fs-ext4", "brd"} { // of which KIWI's initrd lacks the last
		wish.Needed = append(wish.Needed, isokernel.Need{Names: []string{name}, Why: "the test"})
	}
	taken, err := isokernel.Modules(t.Context(), k, isokernel.Source{Root: func() (fs.FS, error) { return root, nil }}, wish)
	if err != nil {
		t.Fatal(err)
	}
	travelled("modules taken:")
	t.Logf("%d modules of %.1f MB, in %d passes; from the root: %q", len(taken.Modules), float64(taken.Bytes)/1e6, taken.Passes, taken.FromRoot)
	checkModules(t, taken, root, k.Info.Release)
	for _, name := range []string{"brd", "squashfs", "overlay", "virtio_net", "e1000", "ext4", "jbd2", "usb_storage"} {
		if !slices.Contains(taken.Modules, name) {
			t.Errorf("%s is not among the modules %q", name, taken.Modules)
		}
	}
	if most := int64(100e6); remote.Received() > most {
		t.Errorf("%d bytes travelled, want %d at most", remote.Received(), most)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("memory: %d MB from the system", m.Sys/1e6)
}

// checkModules compares the modules with those in the root: they come out of the initrd, for the most part.
func checkModules(t *testing.T, taken *isokernel.Taken, root fs.FS, release string) {
	t.Helper()
	err := fs.WalkDir(taken.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".ko" {
			return err
		}
		got, err := fs.ReadFile(taken.FS, name)
		if err != nil {
			return err
		}
		want, err := fs.ReadFile(root, path.Join("lib/modules", release, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, and in the root %d others, %v", name, len(got), len(want), err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
