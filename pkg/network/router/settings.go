package router

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Prepare makes the kernel's settings for IPv6 on the link of that name fit for a fast start, see the kernel's
// Documentation/networking/ip-sysctl.rst. It changes only what differs, below root ("/proc/sys" on a running machine). It is best
// called before the link is set up: what the kernel does when carrier comes is then done right from the start. Calling it again, or
// later, does no harm.
func Prepare(root, name string) error {
	if _, err := os.Stat(filepath.Join(root, "net/ipv6")); errors.Is(err, fs.ErrNotExist) {
		return errors.New("the kernel has no IPv6: load its module ipv6, and leave ipv6.disable=1 out of the kernel's command line")
	}
	folder := filepath.Join(root, "net/ipv6/conf", name)
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the link %s has no IPv6: its MTU is below 1280, or it is gone", name)
	}
	// A machine that forwards takes advertisements only with 2, one that does not takes them with 1 already.
	acceptRA := "1"
	if value(folder, "forwarding") == "1" || value(folder, "accept_ra") == "2" {
		acceptRA = "2"
	}
	for _, s := range []struct{ file, value string }{
		// The kernel waits for up to this many seconds before it begins with the detection of duplicates, lest all machines of a network do
		// so at once after a power failure (RFC 4862, section 5.4.2). Machines that come here took their time in the firmware.
		{"router_solicitation_delay", "0"},
		{"accept_ra", acceptRA},
		{"accept_ra_defrtr", "1"},
		{"accept_ra_pinfo", "1"},
		{"autoconf", "1"},
		// The last: it gives the link its address, where it had none.
		{"disable_ipv6", "0"},
	} {
		if err := set(filepath.Join(folder, s.file), s.value); err != nil {
			return fmt.Errorf("prepare the link for IPv6: %w", err)
		}
	}
	return nil
}

// set writes a setting, unless it is so already or, being compiled out or too new for the kernel, does not exist.
func set(file, value string) error {
	old, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && string(bytes.TrimSpace(old)) == value:
		return nil
	case err != nil:
		return err
	}
	return os.WriteFile(file, []byte(value), 0)
}

// value returns a setting, or nothing where it cannot be read.
func value(folder, name string) string {
	v, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(v))
}
