package initramfs

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Manifest says what a build put into an initrd. It is written as
// initrd.json beside it.
type Manifest struct {
	Version       string      `json:"version"` // of liveboot
	Arch          string      `json:"arch"`    // as Go names it
	Kernel        string      `json:"kernel"`  // release, as uname -r says
	Date          time.Time   `json:"date,omitzero"`
	Compression   Compression `json:"compression"`
	Reason        string      `json:"reason"`                  // for the compression
	Compressor    string      `json:"compressor"`              // program, version, settings
	ModulePack    string      `json:"modulePack,omitempty"`    // the same for large modules, each by itself
	ModuleArchive string      `json:"moduleArchive,omitempty"` // the same for the archives of others
	Init          string      `json:"init"`                    // Go package of process 1
	Commands      []string    `json:"commands"`
	Segments      []Segment   `json:"segments"`
	Modules       []Module    `json:"modules"`
	Firmware      []Firmware  `json:"firmware,omitempty"`
	Missing       []Firmware  `json:"missingFirmware,omitempty"`
	Microcode     []Firmware  `json:"microcode,omitempty"`
	Options       string      `json:"options,omitempty"` // kernel options baked in
	Files         []string    `json:"files,omitempty"`   // site files, as named in the image
	Bytes         int64       `json:"bytes"`             // of the initrd
	SHA256        string      `json:"sha256"`            // of the initrd
	KernelBytes   int64       `json:"kernelBytes"`
	KernelSum     string      `json:"kernelSHA256"`
}

// Segment is one compressed archive of an initrd.
type Segment struct {
	Name       string `json:"name"`
	File       string `json:"file,omitempty"` // where it is, if not in the initrd
	Raw        int64  `json:"raw"`            // bytes of the archive
	Compressed int64  `json:"compressed"`     // bytes in the initrd
}

// Module is a kernel module in an initrd.
type Module struct {
	Name  string `json:"name"`  // as in /proc/modules
	Path  string `json:"path"`  // below lib/modules/<kernel>, or in an archive there
	Bytes int64  `json:"bytes"` // uncompressed
	Why   string `json:"why"`   // how it came in
}

// Firmware is a file that modules load into their device.
type Firmware struct {
	Path  string   `json:"path"`            // below lib/firmware
	Link  string   `json:"link,omitempty"`  // its target, if it is a symbolic link
	Bytes int64    `json:"bytes,omitempty"` // uncompressed
	For   []string `json:"for,omitempty"`   // names of modules
}

// image is what the booted system is told about the image it runs from, as
// /etc/liveboot/image.json.
type image struct {
	Version string    `json:"version"`
	Kernel  string    `json:"kernel"`
	Date    time.Time `json:"date,omitzero"`
}

// sortModules sorts modules by their paths.
func sortModules(all []Module) {
	slices.SortFunc(all, func(a, b Module) int { return strings.Compare(a.Path, b.Path) })
}

// WriteTable writes the sizes for people, a segment a line; in parentheses a
// file beside the initrd.
func (m *Manifest) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "segment\traw\tcompressed\t\n")
	var raw int64
	for _, s := range m.Segments {
		name := s.Name
		if s.File != "" {
			name = "(" + s.File + ")"
		} else {
			raw += s.Raw
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t\n", name, megabytes(s.Raw), megabytes(s.Compressed))
	}
	fmt.Fprintf(t, "initrd\t%s\t%s\t\n", megabytes(raw), megabytes(m.Bytes))
	return t.Flush()
}

func megabytes(n int64) string {
	return fmt.Sprintf("%.2f MB", float64(n)/1e6)
}

func marshal(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return append(b, '\n'), err
}
