package partition

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// changed splits the writes into sectors, and leaves out those that have on the disk already what is written.
func (d *disk) changed(t testing.TB, writes []Write) []Write {
	t.Helper()
	var sectors []Write
	old := make([]byte, d.SectorSize)
	for _, w := range writes {
		for at := 0; at < len(w.Data); at += d.SectorSize {
			s := Write{Offset: w.Offset + int64(at), Data: w.Data[at : at+d.SectorSize]}
			if _, err := d.ReadAt(old, s.Offset); err != nil {
				t.Fatal(err)
			}
			if string(old) != string(s.Data) {
				sectors = append(sectors, s)
			}
		}
	}
	return sectors
}

// TestPowerFails: with every subset of the sectors of a step on the disk (they may arrive in any order until the flush behind the step),
// and all of the steps before, Linux sees the old table or the new one, and needs no copy for it.
func TestPowerFails(t *testing.T) {
	for name, d := range map[string]*disk{
		"KIWI 10":            kiwi10(gib),
		"KIWI 9":             kiwi9(gib),
		"no table":           newDisk(gib, 512),
		"GPT, 4096 bytes":    newDisk(gib, 4096).protect(5120).gpt(128, 5120, data(64, 100, 1, "")),
		"hybrid":             kiwi10(gib).mbr(7, slot{kind: 0x83, start: 64, count: 9}, slot{kind: 0xee, start: 1, count: 63}),
		"MBR for 512 bytes":  newDisk(gib, 4096).write(0, kiwi9(gib).head(t, HeadSize)),
		"first of 4 entries": newDisk(gib, 512).protect(40960).gpt(4, 40960),
	} {
		t.Run(name, func(t *testing.T) {
			e, err := Append(d.head(t, HeadSize), d.Disk, imageSize, "cow")
			if err != nil {
				t.Fatal(err)
			}
			before, after := read(t, d), read(t, d.apply(e))
			if cmp.Equal(before, after) {
				t.Fatalf("the edit has changed nothing: %+v", before)
			}
			now := d.clone()
			for step, writes := range [][]Write{e.Backup, e.Table, {{Data: e.First}}} {
				sectors := now.changed(t, writes)
				if step == 1 && len(sectors) > 2 {
					t.Errorf("%d sectors of the table have changed, want that of the entry and that of the header", len(sectors))
				}
				for _, subset := range subsets(len(sectors)) {
					failed := now.clone()
					for i, s := range sectors {
						if subset>>i&1 == 1 {
							failed.write(s.Offset, s.Data)
						}
					}
					if got := read(t, failed); !cmp.Equal(got, before) && !cmp.Equal(got, after) {
						t.Errorf("step %d, sectors %b of %d: Read() = %+v, want %+v or %+v", step, subset, len(sectors), got, before, after)
					}
				}
				for _, w := range writes {
					now.write(w.Offset, w.Data)
				}
			}
		})
	}
}

// subsets returns all subsets of n things as bits, or, of more than 8, some.
func subsets(n int) []uint64 {
	var all []uint64
	for i := range uint64(1) << min(n, 8) {
		if n > 8 {
			i = rand.Uint64()
		}
		all = append(all, i)
	}
	return append(all, 1<<n-1)
}

// TestPowerFailsInDeployment: while LBA 0 is blank, as it is from the beginning of a deployment to its end, there is no table, whatever
// else was written.
func TestPowerFailsInDeployment(t *testing.T) {
	for name, image := range map[string]*disk{"KIWI 10": kiwi10(gib), "KIWI 9": kiwi9(gib), "no table": newDisk(gib, 512)} {
		t.Run(name, func(t *testing.T) {
			e, err := Append(image.head(t, HeadSize), image.Disk, imageSize, "cow")
			if err != nil {
				t.Fatal(err)
			}
			now := image.clone().write(0, make([]byte, 34816))
			var seen []string
			for _, w := range e.writes() {
				seen = append(seen, fmt.Sprint(read(t, now).Kind))
				now.write(w.Offset, w.Data)
			}
			for _, kind := range seen {
				if kind != "none" {
					t.Errorf("Read() between the writes finds %v, want none", seen)
				}
			}
			if d := cmp.Diff(read(t, image.apply(e)), read(t, now)); d != "" {
				t.Errorf("Read() at the end: -want +got\n%s", d)
			}
		})
	}
}

// TestBackupIsComplete: when LBA 1 is lost later, the copy gives the same table.
func TestBackupIsComplete(t *testing.T) {
	d := kiwi10(gib)
	e, err := Append(d.head(t, HeadSize), d.Disk, imageSize, "cow")
	if err != nil {
		t.Fatal(err)
	}
	d = d.apply(e)
	want := read(t, d)
	checkRead(t, d.clone().damage(512), *want, "header at sector 1: no signature")
	checkRead(t, d.clone().damage(1024), *want, "entries at sector 2: wrong checksum")
}
