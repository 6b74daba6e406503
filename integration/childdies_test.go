package integration

import (
	"regexp"
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/integration/webserver"
	"github.com/liveboot/liveboot/qemu"
)

// The process that does the work crashes or is killed while a person looks around: process 1 says so and offers the
// shell, as after every failure.
func TestChildDies(t *testing.T) {
	for _, tt := range []struct {
		signal string
		cause  string
	}{
		{"SIGSEGV", `the boot process crashed`},
		{"SIGKILL", `the boot process was killed by signal 9`},
	} {
		t.Run(tt.signal, func(t *testing.T) {
			t.Parallel()
			url := nginx(t, liveISO(t, liveiso.Config{Layout: liveiso.Squashfs}), nil)
			m := boot(t, "ip=dhcp rd.break=mount root=live:"+url)
			m.see(shellBanner(), anyFailure())
			m.run("kill -" + tt.signal + " " + m.child())
			m.freshPrompt()
			m.enter("exit")
			m.fails("boot", tt.cause)
		})
	}
}

// The kernel runs out of memory while the image is on its way: it takes the child, never process 1.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	s := webserver.New(t, nil)
	s.Stall(t, "/live.iso", liveISO(t, liveiso.Config{Layout: liveiso.Squashfs}), 0.5)
	m := boot(t, "ip=dhcp sysrq_always_enabled root=live:"+s.URL+"/live.iso", func(c *qemu.Config) { c.MemoryMiB = 768 })
	m.see(said(fetching, ""), anyFailure())
	if err := m.SysRq('f'); err != nil {
		t.Fatal(err)
	}
	m.see(regexp.MustCompile(`Killed process \d+`))
	m.fails("boot", `was killed by signal 9`)
	m.hasSaid(regexp.MustCompile(`hint: the kernel ran out of memory`))
}
