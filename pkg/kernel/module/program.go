package module

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// program is where an image of ours has modprobe.
const program = "/bbin/modprobe"

// InstallProgram puts the image's modprobe where the kernel calls it when it wants a module (CONFIG_MODPROBE_PATH,
// Documentation/admin-guide/sysctl/kernel.rst, modprobe). In the image it is not there: the kernel asks for modules while it still starts, several
// times, for what it does without, and would start a large program each time. An image without modprobe stays as it is, and so does what is in
// the place already.
func InstallProgram(root string) error {
	if _, err := os.Lstat(filepath.Join(root, program)); err != nil {
		return nil
	}
	link := called(root)
	if link == "" {
		return nil
	}
	if _, err := os.Lstat(link); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return fmt.Errorf("install modprobe: %w", err)
	}
	if err := os.Symlink(program, link); err != nil {
		return fmt.Errorf("install modprobe: %w", err)
	}
	return nil
}

// InstalledProgram returns what InstallProgram made, as a path below root; empty if it made nothing.
func InstalledProgram(root string) string {
	link := called(root)
	if to, err := os.Readlink(link); err != nil || to != program {
		return ""
	}
	name, err := filepath.Rel(root, link)
	if err != nil {
		return ""
	}
	return name
}

// called is what the kernel calls, below root; empty where it calls none.
func called(root string) string {
	b, err := os.ReadFile(filepath.Join(root, "proc/sys/kernel/modprobe"))
	path := strings.TrimSpace(string(b))
	if err != nil || !filepath.IsAbs(path) { // a kernel without modules, or one that is to call nothing
		return ""
	}
	return filepath.Join(root, path)
}
