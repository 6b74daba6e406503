package xfs_test

import (
	"fmt"
	"os"

	"github.com/liveboot/liveboot/pkg/mkfs/xfs"
)

// A file system in a file, which "mount -o loop" mounts.
func ExampleFormat() {
	f, err := os.CreateTemp("", "xfs")
	if err != nil {
		panic(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	const size = 1 << 30
	if err := f.Truncate(size); err != nil {
		panic(err)
	}
	if err := xfs.Format(f, size, xfs.Options{Label: "data"}); err != nil {
		panic(err)
	}
	magic := make([]byte, 4)
	if _, err := f.ReadAt(magic, 0); err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", magic)
	// Output: XFSB
}
