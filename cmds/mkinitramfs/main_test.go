package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/initramfs"
)

func TestParse(t *testing.T) {
	defaults := initramfs.Config{
		Output: "build", Init: initramfs.InitPackage, Compression: initramfs.Auto, Commands: initramfs.DefaultCommands(),
	}
	tests := []struct {
		name    string
		in      []string
		change  func(*initramfs.Config)
		wantDo  action
		wantErr string
	}{
		{name: "nothing", change: func(*initramfs.Config) {}},
		{
			name: "kernel and modules", in: []string{"-kernel", "k", "-modules", "m", "-o", "out", "-compression", "gzip"},
			change: func(c *initramfs.Config) {
				c.Kernel, c.Modules, c.Output, c.Compression = "k", "m", "out", initramfs.Gzip
			},
		},
		{
			name: "repeated", in: []string{"-file", "a:/a", "-file", "b:/b", "-commands", "x,y", "-commands", "z"},
			change: func(c *initramfs.Config) {
				c.Files = []initramfs.File{{Source: "a", Destination: "/a"}, {Source: "b", Destination: "/b"}}
				c.Commands = append(c.Commands, "x", "y", "z")
			},
			wantDo: action{compile: true},
		},
		{
			name: "from an ISO", in: []string{"-iso", "live.iso"},
			change: func(c *initramfs.Config) { c.ISO = "live.iso" },
		},
		{
			name: "an installed kernel", in: []string{"-kernel-version", "6.1.0-56-amd64"},
			change: func(c *initramfs.Config) { c.KernelVersion = "6.1.0-56-amd64" },
		},
		{
			name: "drivers and firmware", in: []string{"-drivers", "lpfc,bfa", "-drivers", "drivers/scsi/elx/...", "-no-drivers", "xfs", "-firmware", "fw", "-separate-firmware", "-microcode", "-cmdline", "ip=dhcp quiet", "-arch", "arm64"},
			change: func(c *initramfs.Config) {
				c.Drivers, c.NoDrivers = []string{"lpfc", "bfa", "drivers/scsi/elx/..."}, []string{"xfs"}
				c.Firmware, c.SeparateFirmware, c.Microcode, c.Options, c.Arch = "fw", true, true, "ip=dhcp quiet", "arm64"
			},
		},
		{
			name: "from a checkout", in: []string{"-source", "src", "-init", "x/init"},
			change: func(c *initramfs.Config) { c.Source, c.Init = "src", "x/init" },
			wantDo: action{compile: true},
		},
		{
			name: "for installing", in: []string{"-prebuild", "-o", "lib/liveboot"},
			change: func(c *initramfs.Config) { c.Output = "lib/liveboot" },
			wantDo: action{prebuild: true},
		},
		{name: "list", in: []string{"-list"}, change: func(*initramfs.Config) {}, wantDo: action{list: true}},
		{name: "inspect", in: []string{"-inspect", "initrd"}, change: func(*initramfs.Config) {}, wantDo: action{inspect: "initrd"}},
		{name: "manifest", in: []string{"-manifest", "x.iso"}, change: func(*initramfs.Config) {}, wantDo: action{manifest: "x.iso"}},
		{name: "both", in: []string{"-no-firmware", "-separate-firmware"}, wantErr: "choose one"},
		{name: "manifest and more", in: []string{"-manifest", "x.iso", "-iso", "y.iso"}, wantErr: "-iso -manifest: -manifest and -inspect stand alone"},
		{name: "argument", in: []string{"vmlinuz"}, wantErr: `"vmlinuz"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, do, err := parse("mkinitramfs", tt.in)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("parse(%q) = %v, want error with %q", tt.in, err, tt.wantErr)
				}
				return
			}
			want := defaults
			want.Commands = initramfs.DefaultCommands()
			tt.change(&want)
			if err != nil {
				t.Fatal(err)
			}
			if do != tt.wantDo {
				t.Errorf("parse(%q) = %+v, want %+v", tt.in, do, tt.wantDo)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("parse(%q) (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}
