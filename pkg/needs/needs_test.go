package needs

import "testing"

func TestInstalled(t *testing.T) {
	for debian, want := range map[string]bool{
		"zstd": true, "xz-utils": true, "pixz": true, "gcc": true, "kmod": true, "coreutils": true, "cpio": true,
		"xz": false, "zst": false, "emacs": false, "": false,
	} {
		if got, err := installed(debian); got != want || err != nil {
			t.Errorf("installed(%q) = %v, %v, want %v", debian, got, err, want)
		}
	}
}
