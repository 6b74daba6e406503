package isokernel_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/cmdline"
	"github.com/liveboot/liveboot/pkg/isokernel"
	"github.com/liveboot/liveboot/pkg/plan"
)

// TestOptionsOfThePlan: of all options that our initramfs knows, an ISO may set those that are about its own inside.
func TestOptionsOfThePlan(t *testing.T) {
	stay := []string{"rd.live.dir", "live_dir", "rd.live.squashimg", "rd.live.overlay.size", "quiet"}
	known := 0
	for _, row := range plan.Parameters() {
		for _, key := range append([]string{row.Key}, row.Aliases...) {
			want := ""
			if slices.Contains(stay, key) {
				want, known = key+"=x", known+1
			}
			if got := isokernel.Options(key + "=x"); got != want {
				t.Errorf("Options(%s=x) = %q, want %q", key, got, want)
			}
			if got := isokernel.Options(key); got != strings.TrimSuffix(want, "=x") {
				t.Errorf("Options(%s) = %q, want %q", key, got, strings.TrimSuffix(want, "=x"))
			}
		}
	}
	if known != len(stay) {
		t.Errorf("%d of the options that may stay are known, want all of %q", known, stay)
	}
}

// FuzzOptions: whatever an ISO has in front of a line, the line's own options are read, and no other one that matters.
func FuzzOptions(f *testing.F) {
	for _, seed := range []string{"quiet a=b", `a=x"y root=evil"`, `"a root=evil`, `a"`, `a="b c`, `a"b c"d`, "a\x00", "--", "x --- y", `"" ""`} {
		f.Add(seed)
	}
	own := cmdline.Parse("root=live:http://a/b ip=dhcp")
	f.Fuzz(func(t *testing.T, entry string) {
		got := cmdline.Parse(isokernel.Options(entry) + " root=live:http://a/b ip=dhcp")
		if len(got) < len(own) || !slices.Equal(got[len(got)-len(own):], own) {
			t.Fatalf("Options(%q) = %q: it swallows what is behind it", entry, isokernel.Options(entry))
		}
		for _, p := range got[:len(got)-len(own)] {
			if strings.HasPrefix(p.Key, "root") || p.Key == "ip" || p.Key == "init" {
				t.Errorf("Options(%q) = %q, with %v", entry, isokernel.Options(entry), p)
			}
		}
	})
}
