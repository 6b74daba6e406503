package kexec

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

func TestExplain(t *testing.T) {
	set := func(name, value string) fstest.MapFS { return fstest.MapFS{name: {Data: []byte(value + "\n")}} }
	none := fstest.MapFS{}
	for _, tt := range []struct {
		name     string
		root     fstest.MapFS
		lockdown string
		err      error
		want     Reason
		refused  bool
		text     string
	}{
		{"lockdown", none, "none [integrity] confidentiality", unix.EPERM, Lockdown, true, "lockdown is integrity"},
		{"no lockdown", none, "[none] integrity confidentiality", unix.EPERM, NotPermitted, true, "CAP_SYS_BOOT"},
		{"lockdown not known", none, "", unix.EACCES, NotPermitted, true, "CAP_SYS_BOOT"},
		{"disabled", set("proc/sys/kernel/kexec_load_disabled", "1"), "none [integrity]", unix.EPERM, Disabled, true, "kexec_load_disabled"},
		{"not disabled", set("proc/sys/kernel/kexec_load_disabled", "0"), "", unix.EPERM, NotPermitted, true, ""},
		{"used up", set("proc/sys/kernel/kexec_load_limit_reboot", "0"), "", unix.EPERM, Disabled, true, "kexec_load_limit_reboot is 0"},
		{"no limit", set("proc/sys/kernel/kexec_load_limit_reboot", "-1"), "", unix.EPERM, NotPermitted, true, ""},
		{"key rejected", none, "", unix.EKEYREJECTED, Signature, true, "signature"},
		{"no key", none, "", unix.ENOKEY, Signature, true, ""},
		{"bad signature", none, "", unix.EBADMSG, Signature, true, ""},
		{"no signature", none, "", unix.ENODATA, Signature, true, ""},
		{"not built in", none, "", unix.ENOSYS, Unsupported, false, "CONFIG_KEXEC_FILE"},
		{"no kernel", none, "", unix.ENOEXEC, Format, false, "another architecture"},
		{"header", none, "", unix.EINVAL, Format, false, ""},
		{"busy", none, "", unix.EBUSY, Busy, false, ""},
		{"memory", none, "", unix.ENOMEM, Memory, false, "memory"},
		{"no place", none, "", unix.EADDRNOTAVAIL, Memory, false, ""},
		{"open for writing", none, "", unix.ETXTBSY, Other, false, "open for writing"},
		{"anything", none, "", unix.EIO, Other, false, "refuses"},
		{"not the kernel's", none, "", io.EOF, Other, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := explain(tt.root, func() string { return tt.lockdown }, tt.err)
			if got.Reason != tt.want || got.Refused() != tt.refused || !errors.Is(got, tt.err) || !strings.Contains(got.Error(), tt.text) {
				t.Errorf("explain(%v) = %v (%d, refused: %v), want %d, %v, with %q", tt.err, got, got.Reason, got.Refused(), tt.want, tt.refused, tt.text)
			}
		})
	}
}

func TestLoadTooLong(t *testing.T) {
	err := System{}.Load(nil, nil, strings.Repeat("x", CommandLineMax+1))
	var load *LoadError
	if !errors.As(err, &load) || load.Reason != CommandLine || !strings.Contains(err.Error(), "2048 bytes, of at most 2047") {
		t.Errorf("Load = %v, want it to say how long the line may be", err)
	}
}

func TestLoaded(t *testing.T) {
	for value, want := range map[string]bool{"1\n": true, "0\n": false, "": false} {
		root := fstest.MapFS{"sys/kernel/kexec_loaded": {Data: []byte(value)}}
		if got := Loaded(root); got != want {
			t.Errorf("Loaded with %q = %v, want %v", value, got, want)
		}
	}
	if Loaded(fstest.MapFS{}) {
		t.Error("Loaded without kexec = true")
	}
}

// TestNewFile: nobody can write to it any more, or the kernel would not take it.
func TestNewFile(t *testing.T) {
	f, err := NewFile("kernel", func(w io.Writer) error { _, err := io.WriteString(w, "content"); return err })
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil || string(b) != "content" {
		t.Errorf("NewFile holds %q, %v", b, err)
	}
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_ACCMODE != unix.O_RDONLY {
		t.Errorf("NewFile is open with flags %#x, %v, want it for reading only", flags, err)
	}
	// A lease for reading is given only where nobody has the file open for writing.
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK); err != nil {
		t.Errorf("somebody has the file open for writing: %v", err)
	}
	broken := errors.New("broken")
	if f, err := NewFile("kernel", func(io.Writer) error { return broken }); f != nil || !errors.Is(err, broken) {
		t.Errorf("NewFile = %v, %v, want %v", f, err, broken)
	}
	if _, err := os.Stat("kernel"); err == nil {
		t.Error("NewFile left a file")
	}
}
