package kernelmodules_test

import (
	"testing"

	"github.com/liveboot/liveboot/pkg/kernelmodules"
)

func TestAliasMatches(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"virtio-net", "virtio_net", true},
		{"virtio_net", "virtio-net", true},
		{"pata_[a-h]*", "pata-cypress", true},
		{"pata_[a-h]*", "pata_via", false},
		{"a-[b-c]-d", "a_b-d", true},
		{"a-[b-c]-d", "a---d", false},
		{"dmi*:svnLEGO*", "dmi:bvnA/B:svnLEGO/x", true},
	} {
		if got := kernelmodules.AliasMatches(tt.pattern, tt.name); got != tt.want {
			t.Errorf("AliasMatches(%q, %q) = %v, want %v", tt.pattern, tt.name, got, tt.want)
		}
	}
}
