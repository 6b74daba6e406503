// Command tinyinit is process 1 of the guests in the tests of package qemu: it says that it is there, repeats every line
// that is typed, and powers the machine off at the line "poweroff".
package main

import (
	"bufio"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	fmt.Printf("tinyinit: process %d is ready\n", os.Getpid())
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if lines.Text() == "poweroff" {
			break
		}
		fmt.Printf("tinyinit: you typed %q\n", lines.Text())
	}
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Printf("tinyinit: power off: %v\n", err)
	}
}
