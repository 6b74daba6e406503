package disk

import (
	"bytes"
	"encoding/binary"
	"testing"
	"unicode/utf16"
)

const guid = "\x64\xc8\x1f\x2b\x09\x55\x4b\xf7\x82\x25\x7d\xf0\xf6\x85\x4c\x68"

// gptImage is a disk with a GPT whose second entry has a name.
func gptImage(sectorSize int, name string) []byte {
	image := make([]byte, 64<<10)
	image[mbrEntries+mbrType], image[510], image[511] = protectiveType, 0x55, 0xaa
	header := image[sectorSize:]
	copy(header, "EFI PART")
	binary.LittleEndian.PutUint64(header[gptEntriesLBA:], 2)
	binary.LittleEndian.PutUint32(header[gptEntryCount:], 4)
	binary.LittleEndian.PutUint32(header[gptEntryLength:], 128)
	e := image[2*sectorSize+128:]
	copy(e[16:], guid)
	for i, c := range utf16.Encode([]rune(name)) {
		binary.LittleEndian.PutUint16(e[gptNameOffset+2*i:], c)
	}
	return image
}

func mbrImage(id uint32) []byte {
	image := make([]byte, 4096)
	image[510], image[511] = 0x55, 0xaa
	binary.LittleEndian.PutUint32(image[mbrDiskID:], id)
	return image
}

func TestTable(t *testing.T) {
	for _, tt := range []struct {
		name       string
		image      []byte
		sectorSize int
		number     int
		want       entry
	}{
		{"GPT", gptImage(512, "Größe 1"), 512, 2, entry{"2b1fc864-5509-f74b-8225-7df0f6854c68", "Größe 1"}},
		{"GPT, 4096", gptImage(4096, "a"), 4096, 2, entry{"2b1fc864-5509-f74b-8225-7df0f6854c68", "a"}},
		{"a name that fills its place", gptImage(512, "123456789012345678901234567890123456"), 512, 2,
			entry{"2b1fc864-5509-f74b-8225-7df0f6854c68", "123456789012345678901234567890123456"}},
		{"GPT for other sectors", gptImage(512, "a"), 4096, 2, entry{}},
		{"beyond the entries", gptImage(512, "a"), 512, 5, entry{}},
		{"MBR", mbrImage(0x21ce49c4), 512, 5, entry{"21ce49c4-05", ""}},
		{"MBR, partition 12", mbrImage(1), 512, 12, entry{"00000001-0c", ""}},
		{"MBR without an id", mbrImage(0), 512, 1, entry{}},
		{"none", make([]byte, 4096), 512, 1, entry{}},
		{"short", nil, 512, 1, entry{}},
	} {
		var got entry
		if table := readTable(bytes.NewReader(tt.image), tt.sectorSize); table != nil {
			got = table(tt.number)
		}
		if got != tt.want {
			t.Errorf("%s: partition %d is %+v, want %+v", tt.name, tt.number, got, tt.want)
		}
	}
}

func FuzzTable(f *testing.F) {
	f.Add(gptImage(512, "name")[:4096], 2)
	f.Add(mbrImage(0x21ce49c4), 1)
	f.Fuzz(func(_ *testing.T, image []byte, number int) {
		if table := readTable(bytes.NewReader(image), 512); table != nil {
			table(number)
		}
	})
}
