package disk

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// plain says whether udev leaves a character of a link as it is. Valid UTF-8 beyond ASCII is left too, see plainRune.
func plain(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("#+-.:=@_", c) >= 0
}

// space says whether C's isspace does.
func space(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// wide returns the length of the valid character beyond ASCII that s begins with, or 0.
func wide(s string) int {
	if r, n := utf8.DecodeRuneInString(s); n > 1 && r != utf8.RuneError {
		return n
	}
	return 0
}

// joinWords drops white space around s, and makes each run of it inside an underscore.
func joinWords(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < utf8.RuneSelf && space(byte(r)) }), "_")
}

// replaceChars puts an underscore for each byte that udev does not want in a link, except for those in allow. What is written
// as \x20 already stays.
func replaceChars(s, allow string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		n := 1
		switch {
		case plain(s[i]) || strings.IndexByte(allow, s[i]) >= 0:
		case strings.HasPrefix(s[i:], `\x`):
			n = 2
		case wide(s[i:]) > 0:
			n = wide(s[i:])
		default:
			b.WriteByte('_')
			i++
			continue
		}
		b.WriteString(s[i : i+n])
		i += n
	}
	return b.String()
}

// word makes one word of an identity as ata_id, scsi_id and usb_id do.
func word(s string) string { return replaceChars(joinWords(s), "") }

// Encode writes a label, or another text that a person chose, as it stands in a link: every byte that is not wanted there as \x20.
func Encode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		n := max(wide(s[i:]), 1)
		if n == 1 && !plain(s[i]) {
			fmt.Fprintf(&b, `\x%02x`, s[i])
		} else {
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// decode undoes Encode.
func decode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.HasPrefix(s[i:], `\x`) && len(s) >= i+4 {
			if c, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// text is a string of fixed length from a device, which may end early with a zero.
func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}
