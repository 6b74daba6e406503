package probe

import (
	"fmt"
	"strconv"
)

// A Kind is a class of content, in the order in which the layers of a disk lie upon each other.
type Kind int

// The kinds. What is a member of something larger says nothing by itself: the disk belongs to that.
const (
	KindMember         Kind = iota // of a RAID array, a volume group, a pool, a cache, a cluster
	KindEncrypted                  // nothing of it can be told without its key
	KindPartitionTable             // what is inside the partitions is not looked at
	KindFileSystem
	KindSwap  // a hibernated system included
	KindOther // a journal, the hashes of a device, a store of objects
)

// String names the kind, as one would after "a".
func (k Kind) String() string {
	names := []string{"member of an array or pool", "encrypted volume", "partition table", "file system", "swap area", "store"}
	if k < 0 || int(k) >= len(names) {
		return "kind " + strconv.Itoa(int(k))
	}
	return names[k]
}

// A State says how far to trust what was found.
type State int

// The states. Everything but Intact and Empty comes last in what Identify returns.
const (
	Intact      State = iota // its checksum, or its fields where it has none, are right
	Empty                    // a partition table without partitions
	BackupOnly               // only the copy for emergencies is right
	OtherSector              // a partition table for sectors of another size: the kernel does not see it on this disk
	Damaged                  // its signature is there, and its checksum or its fields are wrong: somebody's data all the same
)

// A Content is one thing that was found.
type Content struct {
	Kind   Kind
	Name   string // the kernel's or the field's name: "ext4", "GPT", "LVM physical volume"
	Label  string // as blkid shows it, "" for none
	UUID   string // as blkid writes it, "" for none
	Offset int64  // of its signature, in bytes from the start of the device
	State  State
}

// String says it for a person: `ext4 "data"`.
func (c Content) String() string {
	s := c.Name
	if c.Label != "" {
		s = fmt.Sprintf("%s %q", s, c.Label)
	}
	switch c.State {
	case Empty:
		return s + " without partitions"
	case BackupOnly:
		return s + " (only its backup is valid)"
	case OtherSector:
		return s + " (for sectors of another size)"
	case Damaged:
		return s + " (damaged)"
	default:
		return s
	}
}
