package handoff

import (
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// detachOthers takes away what is mounted and neither belongs to the live system nor goes with it, such as the disk that a person looked at in
// the rescue shell: below the old root nobody could reach it any more, and it would stay in use. What is in use now goes once it is not.
func detachOthers(root string) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return
	}
	for _, target := range strays(string(info), append(moved(), root)) {
		_ = unix.Unmount(target, unix.MNT_DETACH) // it went with the one above it, or harms nobody
	}
}

// strays returns the mount points of a table (proc_pid_mountinfo(5), where they are the fifth field and white space is written in octal
// digits) that are neither the root nor one of kept or below it.
func strays(mountinfo string, kept []string) []string {
	plain := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 || fields[4] == "/" {
			continue
		}
		point := plain.Replace(fields[4])
		if !slices.ContainsFunc(kept, func(folder string) bool { return point == folder || strings.HasPrefix(point, folder+"/") }) {
			points = append(points, point)
		}
	}
	return points
}
