// Package memory tells how much memory the machine has to spare, from /proc/meminfo as proc_meminfo(5) describes it.
package memory

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// Info is the part of /proc/meminfo that a boot decides on, in bytes.
type Info struct {
	// Available is the kernel's estimate of what can be taken without swapping.
	Available int64
}

// Read reads proc/meminfo below root.
func Read(root fs.FS) (Info, error) {
	data, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return Info{}, fmt.Errorf("read memory: %w", err)
	}
	var info Info
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		key, rest, _ := strings.Cut(s.Text(), ":")
		if key != "MemAvailable" {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return Info{}, fmt.Errorf("read memory: %s: %w", key, err)
		}
		info.Available = kib << 10
	}
	if info.Available == 0 {
		return Info{}, fmt.Errorf("read memory: proc/meminfo names no MemAvailable")
	}
	return info, nil
}

// Kept returns how much free memory the kernel keeps on the lists of its processors, in bytes: up to some 60 MiB on one processor, which are
// as free as any other and which MemAvailable leaves out. It is 0 where proc/zoneinfo does not say (mm/vmstat.c, zoneinfo_show_print).
func Kept(root fs.FS) int64 {
	data, err := fs.ReadFile(root, "proc/zoneinfo")
	if err != nil {
		return 0
	}
	var pages int64
	for line := range strings.Lines(string(data)) {
		if count, ok := strings.CutPrefix(strings.TrimSpace(line), "count:"); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(count), 10, 64); err == nil {
				pages += n
			}
		}
	}
	return pages * int64(os.Getpagesize())
}
