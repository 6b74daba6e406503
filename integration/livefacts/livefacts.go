// Package livefacts is what the live systems of the tests report about themselves: [Facts] as one line of JSON on the
// console, between [Begin] and [End]. The program that writes it is integration/liveinit, process 1 of those systems.
package livefacts

import (
	"encoding/json"
	"fmt"
	"regexp"
)

// The words around the JSON.
const (
	Begin = "LIVEFACTS-BEGIN "
	End   = " LIVEFACTS-END"
)

// Words of the kernel command line for liveinit.
const (
	// Stay makes it stay after the report, until a line is typed, instead of powering off at once.
	Stay = "livetest.stay"
	// Keep and a text behind it make it append the text to KeptFile, after it has looked what an earlier boot left there.
	Keep = "livetest.keep="
	// Load makes it write files for ever, after the report. Synced is said of each that an fsync has returned for.
	Load = "livetest.load"
	// Module and the name of a module behind it make it load that module, out of the root, before the report.
	Module = "livetest.module="
)

// KeptFile is in the root; each text in it ends with a line feed.
const KeptFile = "/kept"

// Synced matches the line that says how many files are safe; its first group is the number.
func Synced() *regexp.Regexp { return regexp.MustCompile(`LIVELOAD (\d+) synced`) }

// KnownFile is a file of the root with incompressible content, KnownFileSize bytes long.
const (
	KnownFile     = "/usr/share/livetest/known"
	KnownFileSize = 2<<20 + 4321
)

// Line is the line of the console that holds the facts; its first group is the JSON.
func Line() *regexp.Regexp {
	return regexp.MustCompile(regexp.QuoteMeta(Begin) + `(\{.*\})` + regexp.QuoteMeta(End))
}

// Facts is the report. A string whose name ends in Error is empty if there was none.
type Facts struct {
	Uptime  float64 // seconds since the kernel's start
	Release string  // of the kernel
	Cmdline string
	BootID  string
	PID     int
	Args    []string
	Env     []string
	// Mounts is /proc/self/mounts.
	Mounts []Mount
	// Memory is /proc/meminfo, in bytes.
	Memory map[string]int64
	// Modules are the names in /proc/modules.
	Modules []string
	// ModuleError says why the module of the word Module could not be loaded.
	ModuleError string
	Processes   []Process
	Links       []Link
	// Report is /run/liveboot/report.json, nil without that file.
	Report json.RawMessage
	// Log is the end of /run/initramfs/log/boot.kiwi.
	Log        string
	ResolvConf string
	// ISODevice is what the link /run/overlay/isodev points at.
	ISODevice string
	// WriteError says why a new file in / could not be written, read back and found in the upper layer.
	WriteError string
	// Kept is what was in KeptFile at the start, and KeptError why Keep's text could not be added.
	Kept, KeptError string
	// Loaded is how many files an earlier boot with Load left, one after the other and each with the right content.
	Loaded int
	// KnownSHA256 is the digest of KnownFile, in hexadecimal digits, and KnownError why there is none.
	KnownSHA256, KnownError string
	// Initramfs are the files left in the root file system of the kernel, below the root that was switched to.
	Initramfs []File
	// InitramfsError says why Initramfs could not be read.
	InitramfsError string
}

// Mount is a line of /proc/self/mounts.
type Mount struct {
	Source, Target, Type, Options string
}

// Process is a process that is not a thread of the kernel.
type Process struct {
	PID  int
	Comm string
}

// Link is a network interface.
type Link struct {
	Name, MAC, OperState string
	Addresses            []string
}

// File is a file, with its size in bytes.
type File struct {
	Path string
	Size int64
}

// Decode reads the JSON of the line.
func Decode(s string) (*Facts, error) {
	var f Facts
	if err := json.Unmarshal([]byte(s), &f); err != nil {
		return nil, fmt.Errorf("decode the facts of the live system: %w", err)
	}
	return &f, nil
}

// Mount returns what is mounted at target, the last one if there are several, and whether there is any.
func (f *Facts) Mount(target string) (Mount, bool) {
	for i := len(f.Mounts) - 1; i >= 0; i-- {
		if f.Mounts[i].Target == target {
			return f.Mounts[i], true
		}
	}
	return Mount{}, false
}
