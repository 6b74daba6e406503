package fetch

import (
	"strings"
	"testing"
)

func TestParseDigest(t *testing.T) {
	for _, tt := range []struct {
		algorithm, text string
		ok              bool
	}{
		{"sha256", strings.Repeat("aB", 32), true},
		{"sha512", strings.Repeat("0", 128), true},
		{"sha256", strings.Repeat("0", 63), false},
		{"sha256", strings.Repeat("0", 128), false},
		{"sha256", strings.Repeat("g", 64), false},
		{"md5", strings.Repeat("0", 32), false},
	} {
		d, err := ParseDigest(tt.algorithm, tt.text)
		if (err == nil) != tt.ok || err == nil && d.Hex != strings.ToLower(tt.text) {
			t.Errorf("ParseDigest(%s, %s) = %v, %v, want ok %v", tt.algorithm, tt.text, d, err, tt.ok)
		}
	}
}
