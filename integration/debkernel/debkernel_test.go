package debkernel

import "testing"

// TestExpressions: apt's own words, as of Debian 12.
func TestExpressions(t *testing.T) {
	depends := "linux-image-arm64\n  Depends: linux-image-6.1.0-56-arm64\n"
	if got := packageName.FindStringSubmatch(depends); got == nil || got[1] != "linux-image-6.1.0-56-arm64" {
		t.Errorf("packageName finds %q in %q", got, depends)
	}
	digest := "e8d2043264dda896601a7b37bb0929d98af46dc1654c7cd520e2aa4257790059"
	uri := "'http://server/pool/l/linux-image_6.1.192-2_arm64.deb' linux-image_6.1.192-2_arm64.deb 59812568 SHA256:" + digest + "\n"
	if got := download.FindStringSubmatch(uri); got == nil || got[1] != "linux-image_6.1.192-2_arm64.deb" || got[2] != digest {
		t.Errorf("download finds %q in %q", got, uri)
	}
}
