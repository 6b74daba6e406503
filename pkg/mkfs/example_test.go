package mkfs_test

import (
	"fmt"
	"os"

	"github.com/liveboot/liveboot/pkg/mkfs"
	"github.com/liveboot/liveboot/pkg/probe"
)

// Every file system that can be made, in a file; each replaces the one before.
func ExampleFormatters() {
	f, err := os.CreateTemp("", "mkfs")
	if err != nil {
		panic(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	const size = 300 << 20
	if err := f.Truncate(size); err != nil {
		panic(err)
	}
	for _, formatter := range mkfs.Formatters() {
		if err := formatter.Format(f, size, mkfs.Options{Label: "data"}); err != nil {
			panic(err)
		}
		fmt.Println(probe.FileSystem(f))
	}
	// Output:
	// ext4 <nil>
	// xfs <nil>
}
