package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/fetch"
)

// folderWith returns a folder with files.
func folderWith(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The addresses of the servers are kept, in the place of what the resolvers say.
func TestNames(t *testing.T) {
	const before = "127.0.0.1 localhost\n"
	root := folderWith(t, map[string]string{"etc/hosts": before})
	n := newNames(t.Context(), root, fetch.Source{
		URLs:    []fetch.URL{"http://localhost:8080/image.iso", "http://10.0.0.1/image.iso", "https://[2001:db8::1]/image.iso", "http://localhost/other.iso"},
		Options: fetch.Options{Proxy: "http://10.0.0.9:3128"},
	})
	kept := read(t, n.path(hostsFile))
	if !strings.HasPrefix(kept, before) || strings.Count(kept, "\n127.0.0.1 localhost\n") != 1 || strings.Contains(kept, "10.0.0.1") || strings.Contains(kept, "2001:db8") {
		t.Errorf("the file is %q, want what it was, and the address of localhost once", kept)
	}
	for _, want := range []string{"10.0.0.1", "2001:db8::1", "127.0.0.1", "10.0.0.9"} {
		if got := n.all(); !slices.Contains(got, netip.MustParseAddr(want)) {
			t.Errorf("all() = %v, want %s in it", got, want)
		}
	}
}

// Where nothing comes any more, the live system's resolvers are asked, and those of the boot; what they say is tried before what was kept.
func TestNamesSearch(t *testing.T) {
	const (
		before = "127.0.0.1 localhost\n"
		boot   = "nameserver 10.0.0.3\n"
		live   = "nameserver 10.9.0.1\nsearch example.org\n"
	)
	synctest.Test(t, func(t *testing.T) {
		root := folderWith(t, map[string]string{"etc/hosts": before, "etc/resolv.conf": boot, "run/NetworkManager/resolv.conf": "# by somebody\n" + live})
		var asked []string
		answers := map[string]string{boot: "10.0.0.1", live: "10.9.0.7"}
		n := &names{root: root, hosts: []string{"server"}, hostsText: before, resolv: boot, known: make(map[string][]netip.Addr)}
		began := time.Now()
		n.lookup = func(_ context.Context, host string) []netip.Addr {
			resolv := read(t, n.path(resolvFile))
			asked = append(asked, fmt.Sprintf("%v %s: %q, %q", time.Since(began), host, read(t, n.path(hostsFile)), resolv))
			if answers[resolv] == "" {
				return nil
			}
			return []netip.Addr{netip.MustParseAddr(answers[resolv])}
		}
		n.find(t.Context())
		n.keep()
		first := before + "\n10.0.0.1 server\n"
		if got := read(t, n.path(hostsFile)); got != first {
			t.Errorf("the file is %q, want %q", got, first)
		}
		answers[boot] = "" // it is away
		n.search(t.Context())
		want := []string{
			fmt.Sprintf("0s server: %q, %q", before, boot), fmt.Sprintf("6s server: %q, %q", before, live), fmt.Sprintf("12s server: %q, %q", before, boot),
		}
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Errorf("what was asked differs (-want +got):\n%s", diff)
		}
		if time.Since(began) != 2*stale+rest {
			t.Errorf("the search took %v, want %v", time.Since(began), 2*stale+rest)
		}
		if got, want := read(t, n.path(hostsFile)), before+"\n10.9.0.7 server\n10.0.0.1 server\n"; got != want {
			t.Errorf("the file is %q, want %q", got, want)
		}
		if got := read(t, n.path(resolvFile)); got != boot {
			t.Errorf("the resolvers are %q, want %q", got, boot)
		}
		for i := range 20 {
			answers[boot] = fmt.Sprintf("10.5.0.%d", i)
			n.find(t.Context())
		}
		if got := n.all(); len(got) != most || got[0] != netip.MustParseAddr("10.5.0.19") {
			t.Errorf("after many searches %v are known, want %d, and the last first", got, most)
		}
	})
}

// Where all servers have addresses, there is nothing to find out.
func TestNamesOfNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := folderWith(t, map[string]string{"etc/hosts": "127.0.0.1 localhost\n", "run/netconfig/resolv.conf": "nameserver 10.9.0.1\n"})
		n := newNames(t.Context(), root, fetch.Source{URLs: []fetch.URL{"http://10.0.0.1/image.iso"}})
		began := time.Now()
		n.search(t.Context())
		if time.Since(began) > 0 {
			t.Errorf("it was searched for %v", time.Since(began))
		}
	})
}

func TestResolvers(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"comments", "# nameserver 1.2.3.4\n;nameserver 1.2.3.4\n", ""},
		{"no address", "nameserver\nsearch a\n", ""},
		{"all", "domain x\n  nameserver   1.2.3.4  \noptions no-reload\nnameserver fe80::1%eth0\nsearch a b", "domain x\nnameserver 1.2.3.4\nnameserver fe80::1%eth0\nsearch a b\n"},
	} {
		if got := resolvers(tt.in); got != tt.want {
			t.Errorf("%s: resolvers(%q) = %q, want %q", tt.name, tt.in, got, tt.want)
		}
	}
}

// The live system's own way to name resolvers is found wherever it is, unless it is that of the boot.
func TestLiveResolvers(t *testing.T) {
	for _, name := range liveResolvers() {
		root := folderWith(t, map[string]string{"etc/resolv.conf": "# boot\nnameserver 10.0.0.3\n", name: "nameserver 10.9.0.1\n"})
		n := &names{root: root, resolv: "# boot\nnameserver 10.0.0.3\n"}
		if got := n.live(); got != "nameserver 10.9.0.1\n" {
			t.Errorf("live() with %s = %q, want its resolver", name, got)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte("nameserver 10.0.0.3\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := n.live(); got != "" {
			t.Errorf("live() with the boot's resolver in %s = %q, want none", name, got)
		}
	}
}
