package spelling

import (
	"slices"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"rd.liveboot.sha256", "rd.liveboot.sha512", "quiet"}
	for _, tt := range []struct{ in, want string }{
		{"rd.liveboot.sha265", "rd.liveboot.sha256"},
		{"rd.liveboot.sha51", "rd.liveboot.sha512"},
		{"quit", "quiet"},
		{"", "quiet"},
	} {
		if got := Nearest(tt.in, slices.Values(known)); got != tt.want {
			t.Errorf("Nearest(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
	if got := Nearest("x", slices.Values[[]string](nil)); got != "" {
		t.Errorf("Nearest without known words = %q, want nothing", got)
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"lpfcc", "lpfc", 1}, {"e1000", "e100", 1}, {"kitten", "sitting", 3}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
