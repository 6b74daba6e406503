// Command partguest is process 1 of the machine in which the kernel says what it takes partition tables for. On each disk /dev/vdX it
// adds a partition behind the image, which ends where the kernel option partguest.from=N,N,… says, in bytes, in the order of the
// disks. Before and after each write the kernel reads the table anew, and so does package partition:
//
//	partguest: vda 0 kernel=1:32768+442368,2:475136+1474560 read=1:32768+442368,2:475136+1474560 problem=false
//
// with the number of writes so far, and number, start and size, in bytes, of the partitions. At last, the GPT in LBA 1 is damaged.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/integration/guest"
	"github.com/liveboot/liveboot/pkg/kernel/mount"
	"github.com/liveboot/liveboot/pkg/kernel/power"
	"github.com/liveboot/liveboot/pkg/mkfs/blockdev"
	"github.com/liveboot/liveboot/pkg/partition"
)

func main() {
	if err := run(); err != nil {
		fmt.Printf("partguest: failed: %v\n", err)
	} else {
		fmt.Println("partguest: done")
	}
	if err := power.Do(power.PowerOff); err != nil {
		fmt.Printf("partguest: failed: %v\n", err)
	}
}

func run() error {
	if err := guest.LoadModules(); err != nil {
		return fmt.Errorf("load modules: %w", err)
	}
	for _, p := range []mount.Point{
		{Source: "proc", Target: "/proc", Type: "proc"}, {Source: "sysfs", Target: "/sys", Type: "sysfs"},
		{Source: "devtmpfs", Target: "/dev", Type: "devtmpfs"},
	} {
		if err := errors.Join(os.MkdirAll(p.Target, 0o755), (mount.System{}).Mount(p)); err != nil {
			return err
		}
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	_, list, _ := strings.Cut(string(line), "partguest.from=")
	for i, word := range strings.Split(strings.Fields(list)[0], ",") {
		from, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return err
		}
		name := "vd" + string(rune('a'+i))
		if err := through(name, from); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// through puts a disk through all states.
func through(name string, from int64) error {
	device, err := blockdev.Open("/dev/" + name)
	if err != nil {
		return err
	}
	defer device.Close()
	d := partition.Disk{Size: device.Size(), SectorSize: device.SectorSize()}
	head := make([]byte, partition.HeadSize)
	if _, err := device.ReadAt(head, 0); err != nil {
		return err
	}
	edit, err := partition.Append(head, d, from, "cow")
	if err != nil {
		return err
	}
	writes := slices.Concat(edit.Backup, edit.Table, []partition.Write{{Data: edit.First}})
	if len(edit.Table) > 0 {
		writes = append(writes, partition.Write{Offset: int64(d.SectorSize), Data: make([]byte, d.SectorSize)})
	}
	for i := range len(writes) + 1 {
		if i > 0 {
			if _, err := device.WriteAt(writes[i-1].Data, writes[i-1].Offset); err != nil {
				return err
			}
		}
		if err := unix.IoctlSetInt(int(device.Fd()), unix.BLKRRPART, 0); err != nil {
			// It is that, and not an empty list, when no table was found.
			fmt.Printf("partguest: %s: read the table anew: %v\n", name, err)
		}
		kernel, err := ofKernel(name)
		if err != nil {
			return err
		}
		table, err := partition.Read(device, d)
		if err != nil {
			return err
		}
		fmt.Printf("partguest: %s %d kernel=%s read=%s problem=%t\n", name, i, kernel, ofTable(table, d), table.Problem != nil)
	}
	return nil
}

// ofKernel returns the partitions that the kernel has.
func ofKernel(disk string) (string, error) {
	folders, err := filepath.Glob("/sys/class/block/" + disk + "/" + disk + "*")
	if err != nil {
		return "", err
	}
	byNumber := make(map[int]string)
	var numbers []int
	for _, folder := range folders {
		var values [3]int64
		for i, file := range []string{"partition", "start", "size"} {
			text, err := os.ReadFile(filepath.Join(folder, file))
			if err != nil {
				return "", err
			}
			if values[i], err = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err != nil {
				return "", err
			}
		}
		number := int(values[0])
		numbers = append(numbers, number)
		byNumber[number] = fmt.Sprintf("%d:%d+%d", number, values[1]*512, values[2]*512)
	}
	slices.Sort(numbers)
	var all []string
	for _, number := range numbers {
		all = append(all, byNumber[number])
	}
	return strings.Join(all, ","), nil
}

// ofTable returns what was read, in the same form. Of an extended partition the kernel shows the beginning.
func ofTable(table *partition.Table, d partition.Disk) string {
	var all []string
	for _, e := range table.Entries {
		if slices.Contains([]string{"0x5", "0xf", "0x85"}, e.Type) {
			e.Size = min(e.Size, max(1024, int64(d.SectorSize)))
		}
		all = append(all, fmt.Sprintf("%d:%d+%d", e.Number, e.Start, e.Size))
	}
	return strings.Join(all, ",")
}
