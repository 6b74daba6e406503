package integration

import (
	"path/filepath"
	"regexp"
	"testing"

	"github.com/liveboot/liveboot/initramfs"
	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/qemu"
)

// The site has a certification authority of its own, whose certificate is in the image, as the README says, and which has signed the web
// server's. An image without it fetches nothing.
func TestPXEHTTPS(t *testing.T) {
	full(t)
	t.Parallel()
	const server = "nginx/https.conf"
	s := newSite(t, "pxelinux/install.sh dnsmasq/pxelinux.conf nginx/install.sh "+server)
	kernel, err := qemu.HostKernel()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	_, err = initramfs.Build(t.Context(), initramfs.Config{
		Kernel: kernel.Image, Modules: kernel.Modules, Output: dir, Version: "test",
		Files: []initramfs.File{{Source: s.Srv("ca/ca.pem"), Destination: "/etc/ssl/certs/site.pem"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	stranger := netboot(t, s, named("stranger"))
	stranger.choose("https")
	stranger.fails(fetching, "certificate signed by unknown authority")
	if err := stranger.Kill(); err != nil {
		t.Fatal(err)
	}
	s.Put(filepath.Join(dir, "initrd"), "boot/initrd")
	m := netboot(t, s)
	m.choose("https")
	f := m.facts()
	checkLive(t, f, liveiso.Squashfs)
	if want := `root=live:https://192\.0\.2\.1/`; !regexp.MustCompile(want).MatchString(f.Cmdline) {
		t.Errorf("the kernel line is %q, want %s", f.Cmdline, want)
	}
	s.Server(server).Wait(got("image/live.iso"))
	m.exits("guest-shutdown")
}
