package probe

import (
	"strings"
	"unicode"
	"unicode/utf16"
)

// lookISO9660 reads the volume descriptors, sixteen at the most: the primary one, and Joliet's for its longer alphabet.
func lookISO9660(d *disk, c *Content) bool {
	var primary, joliet []byte
	for i := range int64(16) {
		b := d.at(32<<10+2048*i, 2048)
		if b == nil || b[0] == 0xff || string(b[1:6]) != "CD001" {
			break
		}
		switch {
		case b[0] == 1 && primary == nil:
			primary = b
		case b[0] == 2 && joliet == nil && b[88] == '%' && b[89] == '/' && strings.ContainsRune("@CE", rune(b[90])):
			joliet = b
		}
	}
	if primary == nil || le16(primary[128:]) == 0 { // the size of a block
		c.State = Damaged
		return true
	}
	c.Label = label(primary[40:72])
	if joliet != nil {
		c.Label = jolietLabel(joliet[40:72], primary[40:72])
	}
	if c.UUID = isoDate(primary[830:847]); c.UUID == "" { // when it was changed, or else made
		c.UUID = isoDate(primary[813:830])
	}
	return true
}

// isoDate writes the sixteen digits of a date (ECMA-119, 8.4.26.1) in groups; "" for the date that stands for none.
func isoDate(b []byte) string {
	if string(b[:16]) == strings.Repeat("0", 16) && b[16] == 0 {
		return ""
	}
	s := string(b)
	return s[:4] + "-" + s[4:6] + "-" + s[6:8] + "-" + s[8:10] + "-" + s[10:12] + "-" + s[12:14] + "-" + s[14:16]
}

// jolietLabel puts together one label of two: Joliet's has every character but 16 at the most, the primary descriptor's has 32 but
// capitals, digits and _ only. Two that do not belong together: Joliet's.
func jolietLabel(long, short []byte) string {
	var out []rune
	for i, u := range units(long, be16) {
		l, s := rune(u), rune(short[i])
		switch {
		case s == '_':
			out = append(out, l)
		case l == '_':
			out = append(out, s)
		case l < 0x80 && unicode.ToUpper(l) == unicode.ToUpper(s):
			if !unicode.IsUpper(s) {
				l = s
			}
			out = append(out, l)
		default:
			return wide(long, be16)
		}
	}
	return label([]byte(string(out) + string(short[len(out):])))
}

// lookUDF follows the volume recognition sequence, the anchor, and the volume descriptors that the anchor points to.
func lookUDF(d *disk, c *Content) bool {
	nsr := false
	for _, step := range []int64{2048, 4096} {
		for i := range int64(64) {
			at := 32<<10 + i*step + 1
			b := d.at(at, 5)
			if b == nil || !strings.Contains("BEA01 BOOT2 CD001 CDW02 NSR02 NSR03 TEA01", string(b)) {
				break
			}
			if nsr = b[0] == 'N'; nsr {
				c.Offset = at
				break
			}
		}
		if nsr {
			break
		}
	}
	if !nsr {
		return false
	}
	c.State = Damaged
	for _, block := range []int64{d.sectorSize, 512, 1024, 2048, 4096} {
		for _, number := range []int64{256, 512, d.size/block - 1, d.size/block - 257} {
			if b := d.at(number*block, 32); b != nil && le16(b) == 2 && int64(le32(b[12:])) == number {
				udfVolume(d, block, int64(le32(b[20:])), int64(le32(b[16:]))/block, c)
				return true
			}
		}
	}
	return true
}

// udfVolume reads a sequence of volume descriptors (ECMA-167 3/10): of the primary one the identifier of the set, of the logical one the
// label. Only OSTA's own are UDF.
func udfVolume(d *disk, block, at, count int64, c *Content) {
	for i := range min(count, 64) {
		b := d.at((at+i)*block, 512)
		if b == nil || int64(le32(b[12:])) != at+i {
			return
		}
		switch le16(b) {
		case 1:
			if c.UUID == "" && udfCharset(b[200:264]) {
				c.UUID = udfID(dstring(b[72:200]))
			}
		case 6:
			if strings.HasPrefix(string(b[217:240]), "*OSTA UDF Compliant") {
				c.State = Intact
			}
			if c.Label == "" && udfCharset(b[20:84]) {
				c.Label = label([]byte(dstring(b[84:212])))
			}
		case 0, 8: // the end
			return
		}
	}
}

func udfCharset(b []byte) bool { return b[0] == 0 && label(b[1:]) == "OSTA Compressed Unicode" }

// dstring reads OSTA's compressed Unicode: the width of a character first, the length in the last byte.
func dstring(b []byte) string {
	n := min(max(int(b[len(b)-1]), 1), len(b)-1)
	switch b[0] {
	case 8:
		runes := make([]rune, n-1)
		for i, v := range b[1:n] {
			runes[i] = rune(v)
		}
		return string(runes)
	case 16:
		return string(utf16.Decode(units(b[1:n], be16)))
	default:
		return ""
	}
}

// udfID makes the sixteen digits that blkid shows of the unique part of the set's identifier: the time in eight hexadecimal digits and
// eight characters of the maker's choice. What is no digit is shown as its bytes' hexadecimal.
func udfID(s string) string {
	if len(s) < 8 {
		return ""
	}
	s = (s + strings.Repeat("\x00", 16))[:16]
	digits := strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF", r) })
	const hexDigits = "0123456789abcdef"
	hex := func(s string) string {
		var out []byte
		for _, v := range []byte(s) {
			out = append(out, hexDigits[v>>4], hexDigits[v&15])
		}
		return string(out)
	}
	switch {
	case digits < 0:
		return strings.ToLower(s)
	case digits < 8:
		return hex(s[:8])
	default:
		return strings.ToLower(s[:8]) + hex(s[8:12])
	}
}
