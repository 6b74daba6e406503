package integration

import (
	"regexp"
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
)

// The root has no init that can be run: that is found before the initramfs is given up, so the shell is still there.
func TestNoInit(t *testing.T) {
	full(t)
	for _, tt := range []struct {
		name  string
		in    liveiso.Config
		words string
		cause string
	}{
		{"missing", liveiso.Config{Layout: liveiso.Squashfs, Init: liveiso.Missing}, "", "/sbin/init"},
		{"not executable", liveiso.Config{Layout: liveiso.RootfsImage, Init: liveiso.NotExecutable}, "", "/sbin/init.*execut"},
		{"no interpreter", liveiso.Config{Layout: liveiso.Squashfs, Init: liveiso.NoInterpreter}, "", "/usr/bin/no-such-shell"},
		{"no library", liveiso.Config{Layout: liveiso.Squashfs, Init: liveiso.NoLibrary}, "", "libc.so.6: cannot open"},
		{"another one", liveiso.Config{Layout: liveiso.Squashfs}, "init=/opt/other", "/opt/other"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := boot(t, "ip=dhcp "+tt.words+" root=live:"+nginx(t, liveISO(t, tt.in), nil))
			m.fails("(?:handoff|live|overlay)", tt.cause)
			m.openShell()
			m.run("uname")
		})
	}
}

// The init of a root that is streamed lacks a library: its dynamic loader says so, the kernel panics, and the machine starts again.
func TestStreamedInitDies(t *testing.T) {
	full(t)
	t.Parallel()
	iso := liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Init: liveiso.NoLibrary})
	m := boot(t, "ip=dhcp rd.liveboot.stream=lazy root=live:"+nginx(t, iso, nil))
	m.see(regexp.MustCompile(`/sbin/init: error while loading shared libraries: libc\.so\.6: cannot open`), anyFailure())
	if _, err := m.Expect(m.ctx, regexp.MustCompile(`Rebooting in \d+ seconds`)); err != nil {
		t.Fatal(err)
	}
	m.exits("guest-reset")
}
