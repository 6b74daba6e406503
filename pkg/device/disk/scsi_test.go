package disk

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// page83 is a page of these designators.
func page83(designators ...string) []byte {
	all := strings.Join(designators, "")
	return fmt.Appendf(nil, "\x00\x83%c%c%s", byte(len(all)>>8), byte(len(all)), all)
}

// one is a designator: of a code set, with association and kind in one byte.
func one(codeSet, kind byte, value string) string {
	return string([]byte{codeSet, kind, 0, byte(len(value))}) + value
}

func TestSCSI(t *testing.T) {
	const naa = "\x50\x00\xc5\x00\x15\xea\x71\xab"
	inq := inquiry{"QEMU    ", "QEMU HARDDISK   "}
	for _, tt := range []struct {
		name   string
		inq    inquiry
		page   []byte
		serial string
		want   []string
	}{
		{"its own name", inq, page83(one(2, 0, "drive-scsi0")), "",
			[]string{"scsi-0QEMU_QEMU_HARDDISK_drive-scsi0", "scsi-0QEMU_QEMU_HARDDISK_drive-scsi0"}},
		{"a world-wide one", inq, page83(one(1, 3, naa)), "", []string{"scsi-35000c50015ea71ab", "wwn-0x5000c50015ea71ab"}},
		{"an extended one", inq, page83(one(1, 3, "\x60"+naa[1:]+naa)), "",
			[]string{"scsi-36000c50015ea71ab5000c50015ea71ab", "wwn-0x6000c50015ea71ab5000c50015ea71ab"}},
		{"of the T10", inq, page83(one(2, 1, "ATA     Model   1")), "", []string{"scsi-1ATA_Model_1"}},
		{"EUI-64, and a SCSI name", inq, page83(one(1, 2, naa), one(3, 8, "iqn.2001-04.com.example:a/b")), "",
			[]string{"scsi-25000c50015ea71ab", "scsi-8iqn.2001-04.com.example:a_b"}},
		{"those of the port do not count", inq, page83(one(1, 0x13, naa), one(1, 0x23, naa)), "", nil},
		{"a number, and a model without space behind it", inquiry{"Maker   ", "A model of 16 ch"}, nil, "S 1",
			[]string{"scsi-SMaker_A_model_of_16_chS_1", "scsi-SMaker_A_model_of_16_ch_S_1"}},
		{"before SPC-2", inq, []byte("\x00\x83\x00\x08" + "\x60\x06\x04\x80\x01\x02\x03\x04"), "",
			[]string{"scsi-36006048001020304", "wwn-0x6006048001020304"}},
		{"cut off", inq, page83(one(1, 3, naa))[:10], "", nil},
		{"another page", inq, []byte("\x00\x80\x00\x0812345678"), "", nil},
	} {
		if diff := cmp.Diff(tt.want, scsiIDs(tt.inq, tt.serial, parsePage83(tt.page))); diff != "" {
			t.Errorf("%s: names (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestPage80(t *testing.T) {
	for in, want := range map[string]string{
		"\x00\x80\x00\x04 123":       " 123",
		"\x00\x80\x00\x02123":        "12",
		"\x00\x80\x00\xff12\x00\x00": "12",
		"\x00\x83\x00\x021":          "",
		"":                           "",
	} {
		if got := parsePage80([]byte(in)); got != want {
			t.Errorf("parsePage80(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzPages(f *testing.F) {
	f.Add(page83(one(1, 3, "12345678"), one(2, 1, "T10")), []byte("\x00\x80\x00\x03123"), []byte("12345678QEMU    QEMU HARDDISK   "))
	f.Fuzz(func(t *testing.T, page83, page80, standard []byte) {
		for _, id := range scsiIDs(parseInquiry(standard, node{}), parsePage80(page80), parsePage83(page83)) {
			if strings.ContainsAny(id, "/ \x00\n") {
				t.Errorf("name %q", id)
			}
		}
	})
}
