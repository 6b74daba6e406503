// Command liveinit is process 1 of the small live systems of the tests: it reports what it finds on the console, as one
// line of JSON (package livefacts), and powers the machine off.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/integration/livefacts"
)

func main() {
	console, err := os.OpenFile("/dev/console", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		// Nobody can be told; a power-off without a report fails the test.
		powerOff(os.Stderr)
	}
	quietKernel()
	b, err := json.Marshal(gather())
	if err != nil {
		b = fmt.Appendf(nil, "marshal: %v", err)
	}
	fmt.Fprintf(console, "\n%s%s%s\n", livefacts.Begin, b, livefacts.End)
	words := strings.Fields(text("/proc/cmdline"))
	if slices.Contains(words, livefacts.Load) {
		fmt.Fprintf(console, "liveinit: %v\n", load(console))
	}
	if slices.Contains(words, livefacts.Stay) {
		bufio.NewScanner(console).Scan()
	}
	powerOff(console)
}

// quietKernel keeps the kernel's messages off the console, where they would be mixed into the report.
func quietKernel() {
	const consoleLevel = 8 // SYSLOG_ACTION_CONSOLE_LEVEL of syslog(2), whose argument is the length of the buffer
	// Without the privilege the report may be torn, and the test says so.
	_, _, _ = unix.Syscall(unix.SYS_SYSLOG, consoleLevel, 0, 1)
}

func powerOff(console *os.File) {
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Fprintf(console, "liveinit: power off: %v\n", err)
	}
	select {}
}
