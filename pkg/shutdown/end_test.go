package shutdown

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadEnd(t *testing.T) {
	for _, tt := range []struct {
		name, line, parameter string
		want                  End
	}{
		{"as systemd calls it", "/shutdown\x00poweroff\x00--log-level\x006\x00--timeout\x0090000000us\x00", "", End{Verb: "poweroff"}},
		{"verb alone", "/shutdown\x00kexec\x00", "", End{Verb: "kexec"}},
		{"no verb", "/shutdown\x00", "", End{Verb: "reboot"}},
		{"nothing", "", "", End{Verb: "reboot"}},
		{"with an argument", "/shutdown\x00reboot\x00", "recovery\n", End{Verb: "reboot", Argument: "recovery"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run := t.TempDir()
			line := filepath.Join(run, "cmdline")
			write(t, line, tt.line)
			if tt.parameter != "" {
				write(t, filepath.Join(run, "systemd/reboot-param"), tt.parameter)
			}
			if got := ReadEnd(line, run); got != tt.want {
				t.Errorf("ReadEnd = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCommands(t *testing.T) {
	for _, tt := range []struct {
		in   End
		want []int
	}{
		{End{Verb: "reboot"}, []int{syscall.LINUX_REBOOT_CMD_RESTART}},
		{End{Verb: "reboot", Argument: "x"}, []int{syscall.LINUX_REBOOT_CMD_RESTART2, syscall.LINUX_REBOOT_CMD_RESTART}},
		{End{Verb: "poweroff", Argument: "x"}, []int{syscall.LINUX_REBOOT_CMD_POWER_OFF, syscall.LINUX_REBOOT_CMD_HALT}},
		{End{Verb: "exit"}, []int{syscall.LINUX_REBOOT_CMD_POWER_OFF, syscall.LINUX_REBOOT_CMD_HALT}},
		{End{Verb: "halt"}, []int{syscall.LINUX_REBOOT_CMD_HALT}},
		{End{Verb: "kexec"}, []int{syscall.LINUX_REBOOT_CMD_KEXEC, syscall.LINUX_REBOOT_CMD_RESTART}},
		{End{Verb: "soft-reboot"}, []int{syscall.LINUX_REBOOT_CMD_RESTART}},
	} {
		if diff := cmp.Diff(tt.want, tt.in.commands()); diff != "" {
			t.Errorf("commands of %+v (-want +got):\n%s", tt.in, diff)
		}
	}
}
