package initramfs

import (
	"archive/tar"
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/initramfs/packed/packedtest"
	"github.com/liveboot/liveboot/pkg/initrd/initrdtest"
	"github.com/liveboot/liveboot/pkg/kernelimage/kernelimagetest"
	"github.com/liveboot/liveboot/pkg/kernelmodules"
	"github.com/liveboot/liveboot/pkg/kernelmodules/depmod/depmodtest"
)

// packageFiles is what a kernel package has: no index but that of what is
// built in.
func packageFiles(boot, modules string) map[string]string {
	ext4, jbd2 := depmodtest.Module("depends=jbd2", "alias=fs-ext4"), depmodtest.Module("depends=")
	return map[string]string{
		boot:                                    string(kernelimagetest.BzImage("6.1.0 (u@h)", []byte("k"))),
		modules + "/6.1.0/kernel/fs/ext4.ko":    string(ext4),
		modules + "/6.1.0/kernel/fs/jbd2.ko":    string(jbd2),
		modules + "/6.1.0/modules.builtin":      "kernel/drivers/block/loop.ko\n",
		modules + "/6.1.0/modules.order":        "kernel/fs/jbd2.ko\nkernel/fs/ext4.ko\n",
		"usr/share/doc/kernel/changelog.Debian": "not needed",
	}
}

func debPackage(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: "./" + name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packedtest.Deb("data.tar.gz", mustGzip(b.String()))
}

func rpmPackage(files map[string]string) []byte {
	var entries []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		entries = append(entries, "./"+name+" "+files[name])
	}
	return packedtest.RPM(mustGzip(string(initrdtest.Newc(entries...))))
}

func TestKernelFromPackage(t *testing.T) {
	debian, fedora := packageFiles("boot/vmlinuz-6.1.0", "lib/modules"), packageFiles("lib/modules/6.1.0/vmlinuz", "lib/modules")
	debian["boot/config-6.1.0"], fedora["lib/modules/6.1.0/config"] = "CONFIG_RD_ZSTD=y\n", "CONFIG_RD_ZSTD=y\n"
	merged := packageFiles("usr/lib/modules/6.1.0/vmlinuz", "usr/lib/modules")
	onlyImage := map[string]string{"boot/vmlinuz-6.1.0": debian["boot/vmlinuz-6.1.0"]}
	tests := []struct {
		name, file string
		content    []byte
		config     string
		wantErr    string
	}{
		{name: "Debian", file: "linux-image.deb", content: debPackage(t, debian), config: "config-6.1.0"},
		{name: "Fedora", file: "kernel-core.rpm", content: rpmPackage(fedora), config: "config"},
		{name: "openSUSE, and no name that says so", file: "kernel", content: rpmPackage(merged)},
		{name: "no modules", file: "a.deb", content: debPackage(t, onlyImage), wantErr: "has no modules for its kernel 6.1.0"},
		{name: "no kernel", file: "a.deb", content: debPackage(t, map[string]string{"usr/bin/ls": "ls"}), wantErr: "has no kernel image"},
		{name: "not a kernel", file: "a.deb", content: debPackage(t, map[string]string{"boot/vmlinuz-6.1.0": "text"}), wantErr: "not a Linux kernel"},
		{name: "damaged", file: "a.deb", content: debPackage(t, debian)[:300], wantErr: "data.tar.gz: unexpected EOF"},
	}
	a, err := archFor("amd64")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), tt.file)
			write(t, file, tt.content)
			k, err := kernelOf(context.Background(), Config{Kernel: file, Root: t.TempDir(), Report: func(string) {}}, a)
			if !errorContains(err, tt.wantErr) {
				t.Fatalf("kernelOf() = %v, want error with %q", err, tt.wantErr)
			}
			if err != nil {
				return
			}
			if k.release != "6.1.0" || k.configFrom != tt.config {
				t.Errorf("kernelOf() = %s with configuration %q, want 6.1.0 with %q", k.release, k.configFrom, tt.config)
			}
			x, err := kernelmodules.ReadIndex(k.modules)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string][]string{"ext4": {"jbd2"}}
			ext4, _ := x.Resolve("fs-ext4")
			if diff := cmp.Diff(want, x.Deps); diff != "" || x.Builtin["loop"] == "" || !slices.Equal(ext4, []string{"ext4"}) {
				t.Errorf("dependencies (-want +got):\n%s; built in %v, aliases %v", diff, x.Builtin, ext4)
			}
		})
	}
}

// TestUnpackedPackage: a folder of modules on which nobody ran depmod.
func TestUnpackedPackage(t *testing.T) {
	root := t.TempDir()
	for name, content := range packageFiles("boot/vmlinuz-6.1.0", "lib/modules") {
		write(t, filepath.Join(root, name), []byte(content))
	}
	a, err := archFor("amd64")
	if err != nil {
		t.Fatal(err)
	}
	k, err := kernelOf(context.Background(), Config{Root: root}, a)
	if err != nil {
		t.Fatal(err)
	}
	if x, err := kernelmodules.ReadIndex(k.modules); err != nil || !slices.Equal(x.Deps["ext4"], []string{"jbd2"}) {
		t.Errorf("ReadIndex() = %v, want that ext4 needs jbd2", err)
	}
}

func TestKernelOf(t *testing.T) {
	root := t.TempDir()
	installKernel(t, root, "6.1.0-9-amd64", "")
	installKernel(t, root, "6.1.0-56-amd64", "")
	installKernel(t, root, "6.12.0", "")
	if err := os.Rename(filepath.Join(root, "boot/vmlinuz-6.12.0"), filepath.Join(root, "lib/modules/6.12.0/vmlinuz")); err != nil {
		t.Fatal(err)
	}
	deb := filepath.Join(root, "a.deb")
	write(t, deb, debPackage(t, packageFiles("boot/vmlinuz-6.1.0", "lib/modules")))
	tests := []struct {
		name    string
		in      Config
		want    string
		wantErr string
	}{
		{name: "version", in: Config{KernelVersion: "6.1.0-9-amd64"}, want: "6.1.0-9-amd64"},
		{name: "beside the modules", in: Config{KernelVersion: "6.12.0"}, want: "6.12.0"},
		{name: "newest", want: "6.1.0-56-amd64"},
		{name: "not installed", in: Config{KernelVersion: "5.10"}, wantErr: "there are 6.1.0-56-amd64, 6.1.0-9-amd64"},
		{name: "version and file", in: Config{KernelVersion: "6.12.0", Kernel: deb}, wantErr: "-kernel-version"},
		{name: "ISO and kernel", in: Config{ISO: "x.iso", Kernel: deb}, wantErr: "has its own kernel"},
		{name: "package and modules", in: Config{Kernel: deb, Modules: root}, wantErr: "leave -modules"},
	}
	a, err := archFor("amd64")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Root, tt.in.Report = root, func(string) {}
			k, err := kernelOf(context.Background(), tt.in, a)
			if !errorContains(err, tt.wantErr) {
				t.Fatalf("kernelOf() = %v, want error with %q", err, tt.wantErr)
			}
			if err == nil && k.release != tt.want {
				t.Errorf("kernelOf() = %s, want %s", k.release, tt.want)
			}
		})
	}
}
