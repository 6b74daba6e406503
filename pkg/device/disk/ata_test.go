package disk

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// identifyPage is the answer of a disk: texts swapped in pairs, and words of a World Wide Name.
func identifyPage(model, serial string, wwn uint64) []byte {
	page := make([]byte, ataPage)
	put := func(word, n int, s string) {
		b := append([]byte(s), bytes.Repeat([]byte(" "), n)...)[:n]
		for i := 0; i < n; i += 2 {
			page[2*word+i], page[2*word+i+1] = b[i+1], b[i]
		}
	}
	put(10, 20, serial)
	put(27, 40, model)
	for i := range 4 {
		binary.LittleEndian.PutUint16(page[216+2*i:], uint16(wwn>>(48-16*i)))
	}
	return page
}

func TestIdentify(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []byte
		want []string
	}{
		{"all", identifyPage("QEMU HARDDISK", "QM00001", 0x5000c50015ea71aa), []string{"ata-QEMU_HARDDISK_QM00001", "wwn-0x5000c50015ea71aa"}},
		{"no number", identifyPage("Disk/2 (x)", "", 0), []string{"ata-Disk_2__x_"}},
		{"a name of a reserved kind", identifyPage("M", " 1", 0x3000c50015ea71aa), []string{"ata-M_1"}},
		{"nothing", make([]byte, ataPage), nil},
		{"too short", identifyPage("M", "1", 0)[:500], nil},
	} {
		id, err := parseIdentify(tt.in)
		var got []string
		if err == nil {
			got = id.ids()
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: names of %+v, %v (-want +got):\n%s", tt.name, id, err, diff)
		}
	}
}

func FuzzIdentify(f *testing.F) {
	f.Add(identifyPage("QEMU HARDDISK", "QM00001", 0x5000c50015ea71aa))
	f.Fuzz(func(t *testing.T, page []byte) {
		id, err := parseIdentify(page)
		if err != nil {
			return
		}
		if len(id.model) > 40 || len(id.serial) > 20 || len(id.ids()) == 0 {
			t.Errorf("parseIdentify = %+v", id)
		}
	})
}
