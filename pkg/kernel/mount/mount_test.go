package mount

import "testing"

func TestPointString(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   Point
		want string
	}{
		{"plain", Point{Source: "/dev/ram0", Target: "/m", Type: "iso9660"}, "mount -t iso9660 /dev/ram0 /m"},
		{"flags and data", Point{Source: "x", Target: "/m", Type: "tmpfs", Flags: ReadOnly | NoSUID | NoDev | NoExec, Data: "size=50%"}, "mount -t tmpfs -o ro,nosuid,nodev,noexec,size=50% x /m"},
		{"bind", Point{Source: "/a", Target: "/b", Flags: Bind}, "mount --bind /a /b"},
		{"move", Point{Source: "/a", Target: "/b", Flags: Move}, "mount --move /a /b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.in.String(); got != tt.want {
				t.Errorf("%#v.String() = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestParseOptions(t *testing.T) {
	for _, tt := range []struct {
		in    string
		flags Flags
		data  string
	}{
		{"", 0, ""},
		{"rw,defaults,exec,dev,suid", 0, ""},
		{"strictatime,sync", strictATime | sync, ""},
		{"ro,noatime", ReadOnly | NoATime, ""},
		{"metacopy=on,nodev,xino=off", NoDev, "metacopy=on,xino=off"},
	} {
		if flags, data := ParseOptions(tt.in); flags != tt.flags || data != tt.data {
			t.Errorf("ParseOptions(%q) = %v, %q, want %v, %q", tt.in, flags, data, tt.flags, tt.data)
		}
	}
}
