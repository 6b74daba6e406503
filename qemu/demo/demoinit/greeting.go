package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// greeting says what the system is made of and how it got here; what cannot be read is left out. system is the root.
func greeting(system fs.FS) string {
	var b strings.Builder
	b.WriteString("\n\x1b[1mHello from the live system.\x1b[0m\n\n")
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "  %-9s %s\n", name, value)
		}
	}
	row("root", root(text(system, "proc/self/mounts")))
	row("image", download(text(system, "run/liveboot/report.json")))
	row("memory", memory(text(system, "proc/meminfo")))
	row("kernel", strings.TrimSpace(text(system, "proc/sys/kernel/osrelease")))
	if up, _, ok := strings.Cut(text(system, "proc/uptime"), " "); ok {
		row("up for", up+" s")
	}
	b.WriteString("\n  Look around: mount, df, free, ps, ip addr, dmesg, cat /run/liveboot/report.json\n" +
		"  Leave with exit, poweroff, or Ctrl-A x.\n\n")
	return b.String()
}

func text(system fs.FS, name string) string {
	b, err := fs.ReadFile(system, name)
	if err != nil {
		return ""
	}
	return string(b)
}

// root describes what is mounted at /, from /proc/self/mounts.
func root(mounts string) string {
	for line := range strings.Lines(mounts) {
		if f := strings.Fields(line); len(f) > 3 && f[1] == "/" && f[2] != "rootfs" {
			return fmt.Sprintf("%s (%s): %s", f[0], f[2], layers(mounts))
		}
	}
	return ""
}

// layers names what the overlay is made of.
func layers(mounts string) string {
	names := map[string]string{
		"/run/overlay/live": "ISO", "/run/overlay/squashfs_container": "container", "/run/overlay/rootfsbase": "read-only root",
		"/run/overlay": "writable layer",
	}
	var parts []string
	for line := range strings.Lines(mounts) {
		if f := strings.Fields(line); len(f) > 3 && names[f[1]] != "" {
			parts = append(parts, names[f[1]]+" "+f[2])
		}
	}
	return strings.Join(parts, ", ")
}

// memory is what is in use of the memory, from /proc/meminfo.
func memory(meminfo string) string {
	kib := map[string]int64{}
	for line := range strings.Lines(meminfo) {
		if f := strings.Fields(line); len(f) > 1 {
			kib[f[0]], _ = strconv.ParseInt(f[1], 10, 64)
		}
	}
	total, available := kib["MemTotal:"], kib["MemAvailable:"]
	if total == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d MB in use", (total-available)*1024/1e6, total*1024/1e6)
}

// download says where the image came from and how fast, from liveboot's report.
func download(report string) string {
	var r struct {
		Image struct {
			URL   string  `json:"url"`
			Bytes int64   `json:"bytes"`
			Rate  float64 `json:"rate"` // bytes a second
		} `json:"image"`
	}
	if err := json.Unmarshal([]byte(report), &r); err != nil || r.Image.Bytes == 0 {
		return ""
	}
	return fmt.Sprintf("%s, %.1f MB at %.1f MB/s", r.Image.URL, float64(r.Image.Bytes)/1e6, r.Image.Rate/1e6)
}
