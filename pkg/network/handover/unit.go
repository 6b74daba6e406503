package handover

import "fmt"

// unit is a file of sections with settings, as systemd and NetworkManager have them.
type unit struct{ text []byte }

// newUnit returns a file that says where it comes from.
func newUnit() *unit {
	return &unit{[]byte("# Made by liveboot from the network of the initramfs. It is gone with the next boot.\n")}
}

func (u *unit) section(name string) { u.text = fmt.Appendf(u.text, "\n[%s]\n", name) }

func (u *unit) set(key, value string) { u.text = fmt.Appendf(u.text, "%s=%s\n", key, value) }

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
