// Package probe says what a device holds, by reading it.
//
// It believes what libblkid believes: magic numbers at their places, and the checksums or fields behind them. Where it is used to
// decide whether a disk may be overwritten, a false "nothing there" costs somebody's data, so what has the signature and fails the
// check is reported too, as Damaged; only signatures so short that random data has them now and then need their fields to be right.
package probe

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// ErrUnknown says that nothing known was found.
var ErrUnknown = errors.New("no known file system")

// FileSystem returns the name under which the kernel mounts what r holds, of the file systems that can hold a live system, and looks
// at magic numbers only: "ext4" stands for ext2 and ext3 too. Its error wraps ErrUnknown when none of them is there.
func FileSystem(r io.ReaderAt) (string, error) {
	for _, f := range formats() {
		if !f.live {
			continue
		}
		for _, m := range f.magics {
			magic := make([]byte, len(m.text))
			if _, err := r.ReadAt(magic, m.offset); err != nil && !errors.Is(err, io.EOF) {
				return "", fmt.Errorf("probe for %s: %w", f.name, err)
			}
			if string(magic) == m.text {
				return f.name, nil
			}
		}
	}
	return "", ErrUnknown
}

// Identify returns everything found on r, a device of size bytes with sectors of sectorSize bytes (512 or 4096, which says where its
// partition table is), the outermost first and what is damaged last; nil for a device with no known signature. More than one thing may
// be there: an array's member shows the array's partitions, a bootable ISO has a partition table, and a new layout leaves the signatures
// of an old one behind. A read error is an error that names the place; a device shorter than size is none.
//
// Two large reads do for a blank device, and few small ones.
func Identify(r io.ReaderAt, size int64, sectorSize int) ([]Content, error) {
	if sectorSize < 512 || !powerOfTwo(int64(sectorSize)) {
		return nil, fmt.Errorf("probe: sectors of %d bytes: want 512 or 4096", sectorSize)
	}
	d := newDisk(r, size, int64(sectorSize))
	var all []Content
	for _, f := range formats() {
		if c, ok := f.find(d); ok {
			all = append(all, c)
		}
	}
	tables, partitions := findTables(d, all)
	if d.err != nil {
		return nil, fmt.Errorf("probe: %w", d.err)
	}
	all = slices.DeleteFunc(all, func(c Content) bool { return inside(c, partitions) })
	all = append(all, tables...)
	rank := func(c Content) int {
		// The file system of an ISO that a partition covers goes before the table that makes it bootable; one that none covers was
		// left behind by a newer table. The table of an ISO is made for sectors of 512 bytes, whatever the disk has.
		covered := within(c.Offset, partitions) || within(c.Offset*d.sectorSize/512, partitions)
		return rank(c, c.Name == "iso9660" && covered)
	}
	slices.SortStableFunc(all, func(a, b Content) int { return rank(a) - rank(b) })
	return all, nil
}

// rank orders contents: what is right before what is not, then by kind; what is hybrid goes before partition tables.
func rank(c Content, hybrid bool) int {
	n := 2 * int(c.Kind)
	if hybrid {
		n = 2*int(KindPartitionTable) - 1
	}
	if c.State >= BackupOnly {
		n += 100
	}
	return n
}
