package main

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestGreeting(t *testing.T) {
	const (
		mounts = "proc /proc proc rw 0 0\n" +
			"tmpfs /run/overlay tmpfs rw 0 0\n" +
			"/dev/ram0 /run/overlay/live iso9660 ro 0 0\n" +
			"/dev/loop1 /run/overlay/rootfsbase ext4 ro 0 0\n" +
			"LiveOS_rootfs / overlay rw,lowerdir=/run/overlay/rootfsbase 0 0\n"
		report  = `{"image": {"url": "http://host/a.iso", "bytes": 105000000, "rate": 39200000}}`
		meminfo = "MemTotal:  1000000 kB\nMemFree: 10 kB\nMemAvailable: 750000 kB\n"
	)
	tests := []struct {
		name string
		in   map[string]string
		want []string // the rows
	}{
		{"nothing can be read", nil, nil},
		{"no JSON", map[string]string{"run/liveboot/report.json": "{"}, nil},
		{
			"all", map[string]string{
				"proc/self/mounts": mounts, "run/liveboot/report.json": report, "proc/meminfo": meminfo,
				"proc/sys/kernel/osrelease": "6.1.0\n", "proc/uptime": "11.04 9.00\n",
			},
			[]string{
				"root      LiveOS_rootfs (overlay): writable layer tmpfs, ISO iso9660, read-only root ext4",
				"image     http://host/a.iso, 105.0 MB at 39.2 MB/s",
				"memory    256 of 1024 MB in use",
				"kernel    6.1.0",
				"up for    11.04 s",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			system := fstest.MapFS{}
			for name, content := range tt.in {
				system[name] = &fstest.MapFile{Data: []byte(content)}
			}
			got := greeting(system)
			_, rows, _ := strings.Cut(got, "\x1b[0m\n\n")
			rows, _, ok := strings.Cut(rows, "\n  Look around")
			if !ok {
				t.Fatalf("greeting() = %q, want what to do in it", got)
			}
			var lines []string
			for l := range strings.Lines(rows) {
				lines = append(lines, strings.TrimSpace(l))
			}
			if diff := cmp.Diff(tt.want, lines); diff != "" {
				t.Errorf("greeting() (-want +got):\n%s", diff)
			}
		})
	}
}
