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
		},
		{name: "argument", in: []string{"vmlinuz"}, wantErr: `"vmlinuz"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parse(tt.in)
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
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("parse(%q) (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}
