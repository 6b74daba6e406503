package disk

import "testing"

func TestWord(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "WDC", "WDC"},
		{"spaces around and inside", "  Fast \t Disk  ", "Fast_Disk"},
		{"what udev does not want", "a/b(c)!d", "a_b_c__d"},
		{"what it does", "#+-.:=@_", "#+-.:=@_"},
		{"UTF-8", "Größe", "Größe"},
		{"no UTF-8", "a\xffb", "a_b"},
		{"escaped already", `a\x20b\c`, `a\x20b_c`},
		{"empty", "   ", ""},
	} {
		if got := word(tt.in); got != tt.want {
			t.Errorf("%s: word(%q) = %q, want %q", tt.name, tt.in, got, tt.want)
		}
	}
}

func TestEncode(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"CDROM", "CDROM"},
		{"my data/1", `my\x20data\x2f1`},
		{`a\b`, `a\x5cb`},
		{"Größe", "Größe"},
		{"a\xff", `a\xff`},
		{"\n", `\x0a`},
	} {
		if got := Encode(tt.in); got != tt.want {
			t.Errorf("Encode(%q) = %q, want %q", tt.in, got, tt.want)
		}
		if got := decode(tt.want); got != tt.in {
			t.Errorf("decode(%q) = %q, want %q", tt.want, got, tt.in)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add("a b/c\\x20\xff")
	f.Fuzz(func(t *testing.T, s string) {
		if got := decode(Encode(s)); got != s {
			t.Errorf("decode(Encode(%q)) = %q", s, got)
		}
		for _, got := range []string{word(s), Encode(s)} {
			for i := 0; i < len(got); i++ {
				if c := got[i]; !plain(c) && c != '\\' && c < 0x80 {
					t.Errorf("the names of %q have %q in them", s, c)
				}
			}
		}
	})
}
