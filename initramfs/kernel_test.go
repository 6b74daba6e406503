package initramfs

import (
	"github.com/liveboot/liveboot/pkg/kernelimage/kernelimagetest"
	"github.com/liveboot/liveboot/pkg/kernelmodules/kernelmodulestest"
	"os"
	"path/filepath"
	"testing"
)

// installKernel puts a kernel with its modules below root, as a package does.
func installKernel(t *testing.T, root, release, config string) {
	t.Helper()
	boot, modules := filepath.Join(root, "boot"), filepath.Join(root, "lib/modules", release)
	write(t, filepath.Join(boot, "vmlinuz-"+release), kernelimagetest.BzImage(release+" (user@host) #1 SMP Debian 6.1.192-2 (2026-11-16)", []byte("kernel")))
	if config != "" {
		write(t, filepath.Join(boot, "config-"+release), []byte(config))
	}
	for name, f := range kernelmodulestest.Folder() {
		write(t, filepath.Join(modules, name), f.Data)
	}
}

func write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestFindKernel(t *testing.T) {
	root := t.TempDir()
	installKernel(t, root, "6.1.0-9-amd64", "")
	installKernel(t, root, "6.1.0-56-amd64", "")
	write(t, filepath.Join(root, "boot/vmlinuz-6.12.0-amd64"), kernelimagetest.BzImage("6.12.0-amd64 (u@h)", []byte("k")))
	write(t, filepath.Join(root, "boot/vmlinuz-text"), []byte("not a kernel"))
	boot := func(release string) string { return filepath.Join(root, "boot/vmlinuz-"+release) }
	modules := func(release string) string { return filepath.Join(root, "lib/modules", release) }

	tests := []struct {
		name, root, image, modules string
		want, wantErr              string
	}{
		{name: "newest with modules", root: root, want: "6.1.0-56-amd64"},
		{name: "image given", root: root, image: boot("6.1.0-9-amd64"), want: "6.1.0-9-amd64"},
		{name: "modules given", root: root, modules: modules("6.1.0-9-amd64"), want: "6.1.0-9-amd64"},
		{name: "both given", root: root, image: boot("6.1.0-9-amd64"), modules: modules("6.1.0-9-amd64"), want: "6.1.0-9-amd64"},
		{name: "both disagree", root: root, image: boot("6.1.0-9-amd64"), modules: modules("6.1.0-56-amd64"), wantErr: "is version 6.1.0-9-amd64"},
		{name: "no modules", root: root, image: boot("6.12.0-amd64"), wantErr: "linux-image-6.12.0-amd64"},
		{name: "no such image", root: root, image: boot("1.0"), wantErr: "KERNEL="},
		{name: "not a kernel", root: root, image: boot("text"), wantErr: "not a Linux kernel"},
		{name: "nothing installed", root: t.TempDir(), wantErr: "find a kernel"},
		{name: "no kernel of these modules", root: root, modules: modules("5.10"), wantErr: "linux-image-amd64"},
	}
	a, err := archFor("amd64")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k, err := findKernel(tt.root, tt.image, tt.modules, a)
			if !errorContains(err, tt.wantErr) {
				t.Fatalf("findKernel() = %v, want error with %q", err, tt.wantErr)
			}
			if err == nil && (k.release != tt.want || k.from != modules(tt.want)) {
				t.Errorf("findKernel() = %s with %s, want %s", k.release, k.from, tt.want)
			}
		})
	}
}

// TestFlavours: of two flavours of a version, the one with more drivers.
func TestFlavours(t *testing.T) {
	root := t.TempDir()
	installKernel(t, root, "6.1.0-56-cloud-amd64", "")
	installKernel(t, root, "6.1.0-56-amd64", "")
	write(t, filepath.Join(root, "lib/modules/6.1.0-56-cloud-amd64/modules.dep"), []byte("kernel/a.ko:\n"))
	got, err := newestKernel(root, "")
	if want := filepath.Join(root, "boot/vmlinuz-6.1.0-56-amd64"); err != nil || got != want {
		t.Errorf("newestKernel() = %s, %v, want %s", got, err, want)
	}
}
