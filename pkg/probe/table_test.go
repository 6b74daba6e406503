package probe

import (
	"bytes"
	"hash/crc32"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// gpt writes a header and its array, with one partition from first to last, in sectors.
func gpt(m image, lba, array, sectorSize, first, last int) {
	at, entries := lba*sectorSize, array*sectorSize
	end := len(m) / sectorSize
	m.put(entries, string(someID)).put(entries+16, string(someID)).put64(entries+32, uint64(first)).put64(entries+40, uint64(last))
	m.put(at, "EFI PART").put32(at+8, 0x10000).put32(at+12, 92).put64(at+24, uint64(lba)).put64(at+40, 6).put64(at+48, uint64(end-7)).
		put(at+56, string(someID)).put64(at+72, uint64(array)).put32(at+80, 128).put32(at+84, 128)
	m.put32(at+88, crc32.ChecksumIEEE(m[entries:entries+128*128])).put32(at+16, 0)
	m.put32(at+16, crc32.ChecksumIEEE(m[at:at+92]))
}

// mbr writes a table: four numbers an entry, the boot indicator, the type, the start and the length in sectors.
func mbr(m image, entries ...[4]int) {
	for i, e := range entries {
		at := 446 + 16*i
		m[at], m[at+4] = byte(e[0]), byte(e[1])
		m.put32(at+8, uint32(e[2])).put32(at+12, uint32(e[3]))
	}
	m.put(510, "\x55\xaa")
}

func iso(m image) {
	m.put(32<<10, "\x01CD001\x01").put(32<<10+40, "CDROM").put16(32<<10+128, 2048).put(34<<10, "\xffCD001\x01")
}

func TestTables(t *testing.T) {
	const size = 4 * mib
	protective := [4]int{0, 0xee, 1, size/512 - 1}
	for _, tt := range []struct {
		name       string
		sectorSize int
		build      func(m image)
		want       []string
	}{
		{"blank", 512, func(image) {}, nil},
		{"GPT in 512-byte sectors", 512, func(m image) { mbr(m, protective); gpt(m, 1, 2, 512, 100, 200) }, []string{"GPT"}},
		{"GPT in 4 KiB sectors", 4096, func(m image) { mbr(m, protective); gpt(m, 1, 2, 4096, 10, 20) }, []string{"GPT"}},
		{"GPT of 512-byte sectors on a disk of 4 KiB", 4096, func(m image) { mbr(m, protective); gpt(m, 1, 2, 512, 100, 200) },
			[]string{"GPT (for sectors of another size)"}},
		{"GPT of 4 KiB sectors on a disk of 512 bytes", 512, func(m image) { mbr(m, protective); gpt(m, 1, 2, 4096, 10, 20) },
			[]string{"GPT (for sectors of another size)"}},
		{"GPT without MBR", 512, func(m image) { gpt(m, 1, 2, 512, 100, 200) }, []string{"GPT"}},
		{"backup GPT", 512, func(m image) { gpt(m, size/512-1, size/512-33, 512, 100, 200) }, []string{"GPT (only its backup is valid)"}},
		{"backup GPT in 4 KiB sectors", 4096, func(m image) { gpt(m, size/4096-1, size/4096-5, 4096, 10, 20) }, []string{"GPT (only its backup is valid)"}},
		{"GPT with a wrong sum", 512, func(m image) { gpt(m, 1, 2, 512, 100, 200); m[512+60] ^= 1 }, []string{"GPT (damaged)"}},
		{"GPT with a wrong array", 512, func(m image) { gpt(m, 1, 2, 512, 100, 200); m[1024+1] ^= 1 }, []string{"GPT (damaged)"}},
		{"GPT with a wrong array and a good backup", 512,
			func(m image) {
				gpt(m, 1, 2, 512, 100, 200)
				gpt(m, size/512-1, size/512-33, 512, 100, 200)
				m[1024+1] ^= 1
			},
			[]string{"GPT (only its backup is valid)"}},
		{"GPT of a larger disk", 512, func(m image) { gpt(m[:size:size], 1, 2, 512, 100, 200); m.put64(512+48, 1<<40) }, []string{"GPT (damaged)"}},
		{"protective MBR alone", 512, func(m image) { mbr(m, protective) }, []string{"protective MBR"}},
		{"MBR", 512, func(m image) { mbr(m, [4]int{0x80, 0x83, 2048, 2048}) }, []string{"MBR"}},
		{"empty MBR", 512, func(m image) { mbr(m) }, []string{"MBR without partitions"}},
		{"boot code in the place of a table", 512, func(m image) { mbr(m, [4]int{0x33, 0xc0, 0x8ed0, 0xbc00}) }, []string{"boot sector of an unknown system"}},
		{"boot code before a file system", 512, func(m image) { mbr(m, [4]int{0x33, 0xc0, 1, 1}); iso(m) }, []string{`iso9660 "CDROM"`}},
		{"hybrid ISO", 512, func(m image) { mbr(m, [4]int{0x80, 0x17, 0, 4096}); iso(m) }, []string{`iso9660 "CDROM"`, "MBR"}},
		{"hybrid ISO with GPT", 512, func(m image) { mbr(m, protective); gpt(m, 1, 2, 512, 64, 4096); iso(m) }, []string{`iso9660 "CDROM"`, "GPT"}},
		{"hybrid ISO on a disk of 4 KiB sectors", 4096, func(m image) { mbr(m, protective); gpt(m, 1, 2, 512, 64, 4096); iso(m) },
			[]string{`iso9660 "CDROM"`, "GPT (for sectors of another size)"}},
		{"hybrid ISO with MBR on a disk of 4 KiB sectors", 4096, func(m image) { mbr(m, [4]int{0x80, 0x83, 64, 4096}); iso(m) },
			[]string{`iso9660 "CDROM"`, "MBR"}},
		{"ISO under a newer table", 512, func(m image) { mbr(m, [4]int{0, 0x83, 2048, 2048}); iso(m) }, []string{"MBR", `iso9660 "CDROM"`}},
		{"old GPT behind a file system", 512,
			func(m image) {
				m.put(64<<10+64, "ReIsEr4").put(64<<10, "ReIsEr4")
				gpt(m, size/512-1, size/512-33, 512, 100, 200)
			},
			[]string{"reiser4", "GPT (only its backup is valid)"}},
		{"mirror with a table inside", 512, func(m image) { mbr(m, [4]int{0, 0x83, 2048, 4000}); md(m, size-8192) },
			[]string{`md RAID member "host:0"`, "MBR"}},
		{"mirror in the last partition", 512, func(m image) { mbr(m, [4]int{0, 0xfd, 2048, size/512 - 2048}); md(m, size-8192) }, []string{"MBR"}},
		{"Sun", 512, func(m image) { m.put(508, "\xda\xbe\xda\xbe") }, []string{"Sun disk label"}},
		{"Apple", 512, func(m image) { m.put(0, "ER\x02\x00").put(512, "PM\x00\x00\x00\x00") }, []string{"Apple partition map"}},
	} {
		m := make(image, size)
		tt.build(m)
		got, err := Identify(bytes.NewReader(m), size, tt.sectorSize)
		if err != nil {
			t.Errorf("Identify(%s) = %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.want, texts(got)); diff != "" {
			t.Errorf("Identify(%s) is wrong (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestTableOf says it in full.
func TestTableOf(t *testing.T) {
	m := make(image, mib)
	gpt(m, 1, 2, 512, 100, 200)
	got, err := Identify(bytes.NewReader(m), mib, 512)
	want := []Content{{Kind: KindPartitionTable, Name: "GPT", UUID: "67452301-ab89-efcd-0123-456789abcdef", Offset: 512}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Identify() is wrong (-want +got):\n%s%v", diff, err)
	}
	mbr(m.put(512, "\x00").put32(440, 0xdeadbeef), [4]int{0, 0x83, 2048, 1})
	got, err = Identify(bytes.NewReader(m), mib, 512)
	want = []Content{{Kind: KindPartitionTable, Name: "MBR", UUID: "deadbeef", Offset: 510}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Identify() is wrong (-want +got):\n%s%v", diff, err)
	}
}
