package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/liveboot/liveboot/integration/livefacts"
)

// logBytes is how much of the boot's log is reported, from its end.
const logBytes = 32 << 10

// gather never fails: what cannot be read stays empty, and the tests compare.
func gather() livefacts.Facts {
	module := loadModule(text("/proc/cmdline"))
	f := livefacts.Facts{
		Release:    strings.TrimSpace(text("/proc/sys/kernel/osrelease")),
		Cmdline:    strings.TrimSpace(text("/proc/cmdline")),
		BootID:     strings.TrimSpace(text("/proc/sys/kernel/random/boot_id")),
		PID:        os.Getpid(),
		Args:       os.Args,
		Env:        os.Environ(),
		Mounts:     mounts(text("/proc/self/mounts")),
		Memory:     memory(text("/proc/meminfo")),
		Modules:    firstFields(text("/proc/modules")),
		Processes:  processes(),
		Links:      links(),
		ResolvConf: text("/etc/resolv.conf"),
	}
	if up := strings.Fields(text("/proc/uptime")); len(up) > 0 {
		f.Uptime, _ = strconv.ParseFloat(up[0], 64)
	}
	if report := text("/run/liveboot/report.json"); json.Valid([]byte(report)) {
		f.Report = json.RawMessage(report)
	}
	f.Log = text("/run/initramfs/log/boot.kiwi")
	f.Log = f.Log[max(0, len(f.Log)-logBytes):]
	if module != nil {
		f.ModuleError = module.Error()
	}
	f.ISODevice, _ = os.Readlink("/run/overlay/isodev")
	f.Kept, f.Loaded = text(livefacts.KeptFile), loaded()
	if err := keep(f.Cmdline); err != nil {
		f.KeptError = err.Error()
	}
	if err := write(); err != nil {
		f.WriteError = err.Error()
	}
	sum, err := digest(livefacts.KnownFile)
	f.KnownSHA256 = sum
	if err != nil {
		f.KnownError = err.Error()
	}
	if f.Initramfs, err = initramfs(); err != nil {
		f.InitramfsError = err.Error()
	}
	return f
}

// text is a file's content, empty without the file.
func text(name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return string(b)
}

// firstFields is the first word of each line.
func firstFields(s string) []string {
	var words []string
	for line := range strings.Lines(s) {
		if f := strings.Fields(line); len(f) > 0 {
			words = append(words, f[0])
		}
	}
	return words
}

// mounts reads /proc/self/mounts, in which white space is written as octal digits (fstab(5)).
func mounts(s string) []livefacts.Mount {
	plain := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var ms []livefacts.Mount
	for line := range strings.Lines(s) {
		if f := strings.Fields(line); len(f) >= 4 {
			ms = append(ms, livefacts.Mount{Source: plain.Replace(f[0]), Target: plain.Replace(f[1]), Type: f[2], Options: f[3]})
		}
	}
	return ms
}

// memory reads /proc/meminfo, whose unit kB is 1024 bytes.
func memory(s string) map[string]int64 {
	m := map[string]int64{}
	for line := range strings.Lines(s) {
		name, value, ok := strings.Cut(line, ":")
		f := strings.Fields(value)
		if !ok || len(f) == 0 {
			continue
		}
		if n, err := strconv.ParseInt(f[0], 10, 64); err == nil {
			if len(f) > 1 {
				n <<= 10
			}
			m[name] = n
		}
	}
	return m
}

// processes are those with a command line, which threads of the kernel have not.
func processes() []livefacts.Process {
	var ps []livefacts.Process
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err == nil && text(filepath.Join(dir, "cmdline")) != "" {
			ps = append(ps, livefacts.Process{PID: pid, Comm: strings.TrimSpace(text(filepath.Join(dir, "comm")))})
		}
	}
	return ps
}

func links() []livefacts.Link {
	var ls []livefacts.Link
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		l := livefacts.Link{
			Name: i.Name, MAC: i.HardwareAddr.String(),
			OperState: strings.TrimSpace(text(filepath.Join("/sys/class/net", i.Name, "operstate"))),
		}
		addresses, _ := i.Addrs()
		for _, a := range addresses {
			l.Addresses = append(l.Addresses, a.String())
		}
		ls = append(ls, l)
	}
	return ls
}

// write puts a file into the root and looks for it in the layer that takes the writes.
func write() error {
	const name, content = "/written-by-liveinit", "hello"
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		return err
	}
	if got := text(name); got != content {
		return fmt.Errorf("read back %q, want %q", got, content)
	}
	if upper := "/run/overlay/overlayfs/rw" + name; text(upper) != content {
		return fmt.Errorf("%s does not hold what was written", upper)
	}
	return nil
}

func digest(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

// walk lists the files on the file system of root, but not those of other file systems mounted in it.
func walk(root string) ([]livefacts.File, error) {
	device, err := deviceOf(root)
	if err != nil {
		return nil, err
	}
	var files []livefacts.File
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if d.IsDir() {
			if dev, err := deviceOf(path); err != nil || dev != device {
				return fs.SkipDir
			}
		}
		if path != root {
			files = append(files, livefacts.File{Path: path, Size: info.Size()})
		}
		return nil
	})
	return files, err
}
