package integration

import (
	"path/filepath"
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
)

// What was downloaded is no live ISO of a known layout; the message says what was looked for.
func TestNoLiveRoot(t *testing.T) {
	for _, tt := range []struct {
		name  string
		in    liveiso.Config
		cause string
	}{
		{"no container", liveiso.Config{Layout: liveiso.NoRoot}, "LiveOS/squashfs.img"},
		{"no root in the container", liveiso.Config{Layout: liveiso.EmptyRoot}, "rootfs.img"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := boot(t, "ip=dhcp root=live:"+nginx(t, liveISO(t, tt.in), nil))
			m.fails(live, tt.cause)
		})
	}
}

// What was downloaded is no ISO at all: here the kernel of the test.
func TestNoISO(t *testing.T) {
	full(t)
	t.Parallel()
	dir, err := pair()
	if err != nil {
		t.Fatal(err)
	}
	m := boot(t, "ip=dhcp root=live:"+nginx(t, filepath.Join(dir, "vmlinuz"), nil))
	m.fails("(?:live|fetch|target)", "(?i)iso")
}
