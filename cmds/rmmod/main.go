// Rmmod takes kernel modules that nothing uses out of the kernel.
//
//	rmmod <module> …
package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: rmmod <module> …")
		os.Exit(2)
	}
	failed := false
	for _, name := range os.Args[1:] {
		// O_NONBLOCK: a module in use is an error, in place of a wait for ever.
		if err := unix.DeleteModule(strings.ReplaceAll(name, "-", "_"), unix.O_NONBLOCK); err != nil {
			fmt.Fprintf(os.Stderr, "rmmod: %s: %v\n", name, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}
