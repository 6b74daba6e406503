// Insmod loads a kernel module from a file, without those it depends on; modprobe loads these, too.
//
//	insmod <file> [<parameter>=<value> …]
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/liveboot/liveboot/pkg/kernel/module"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: insmod <file> [<parameter>=<value> …]")
		os.Exit(2)
	}
	if err := new(module.System).Insert(os.Args[1], strings.Join(os.Args[2:], " ")); err != nil {
		fmt.Fprintln(os.Stderr, "insmod:", strings.TrimPrefix(err.Error(), "insmod ")) // as some of them begin
		os.Exit(1)
	}
}
