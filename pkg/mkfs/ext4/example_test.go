package ext4_test

import (
	"fmt"
	"io/fs"
	"os"

	reader "github.com/liveboot/liveboot/pkg/ext4"
	"github.com/liveboot/liveboot/pkg/mkfs/ext4"
)

// A file system in a file, which "mount -o loop" mounts. No space is kept for root only.
func ExampleFormat() {
	f, err := os.CreateTemp("", "ext4")
	if err != nil {
		panic(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	const size = 1 << 30
	if err := f.Truncate(size); err != nil {
		panic(err)
	}
	if err := ext4.Format(f, size, ext4.Options{Label: "data", Reserve: ext4.NoReserve}); err != nil {
		panic(err)
	}
	fsys, err := reader.Open(f)
	if err != nil {
		panic(err)
	}
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		panic(err)
	}
	fmt.Println(entries)
	// Output: [d lost+found/]
}
