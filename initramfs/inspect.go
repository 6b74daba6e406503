package initramfs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/liveboot/liveboot/initramfs/packed"
	"github.com/liveboot/liveboot/pkg/initrd"
	kmodule "github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/pkg/kernelmodules"
)

// Contents is what an initrd holds, ours or another.
type Contents struct {
	Bytes    int64
	Version  string    // of liveboot; empty if another made it
	Date     time.Time // of the image; zero if it does not say
	Kernels  []string  // of the modules
	Segments []SegmentContents
	Modules  []Module
	Firmware []Firmware
	Options  []string // lines of etc/cmdline.d/*.conf and etc/cmdline
}

// SegmentContents is one segment of it.
type SegmentContents struct {
	Offset, Bytes int64 // in the initrd
	Compression   string
	Files         int
	Content       int64    // bytes of all files
	Folders       []string // the topmost ones with files in them
}

// aboutMax bounds the small files that are read, in bytes.
const aboutMax = 1 << 20

// Inspect reads an initrd, or the initrd.json that a build wrote beside it.
func Inspect(file string) (*Contents, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("inspect: %w", err)
	}
	var c *Contents
	if bytes.HasPrefix(b, []byte("{")) {
		c, err = inspectManifest(b)
	} else {
		c, err = inspectInitrd(b)
	}
	if err != nil {
		return nil, fmt.Errorf("inspect %s: %w", file, err)
	}
	return c, nil
}

func inspectManifest(b []byte) (*Contents, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("neither an initrd nor the initrd.json of a build: %w", err)
	}
	if m.Bytes == 0 || m.Kernel == "" {
		return nil, errors.New("this JSON is not the initrd.json of a build")
	}
	c := &Contents{
		Bytes: m.Bytes, Version: m.Version, Date: m.Date, Kernels: []string{m.Kernel}, Modules: m.Modules, Firmware: m.Firmware,
	}
	if m.Options != "" {
		c.Options = []string{m.Options}
	}
	var offset int64
	for _, s := range m.Segments {
		if s.File != "" {
			continue
		}
		compression := string(m.Compression)
		if s.Raw == s.Compressed {
			compression = ""
		}
		c.Segments = append(c.Segments, SegmentContents{
			Offset: offset, Bytes: s.Compressed, Compression: compression, Content: s.Raw, Folders: []string{s.Name},
		})
		offset += s.Compressed
	}
	return c, nil
}

func inspectInitrd(image []byte) (*Contents, error) {
	c := &Contents{Bytes: int64(len(image))}
	var folders []map[string]bool
	kernels := map[string]bool{}
	segments, err := initrd.Segments(image, func(segment int, f initrd.File) error {
		for len(c.Segments) <= segment {
			c.Segments = append(c.Segments, SegmentContents{})
			folders = append(folders, map[string]bool{})
		}
		if f.Mode.IsDir() {
			return nil
		}
		s := &c.Segments[segment]
		s.Files++
		s.Content += f.Size
		folders[segment][topFolder(f.Name)] = true
		if release, _, ok := cutModule(f.Name); ok {
			kernels[release] = true
		}
		return kernelmodules.Members(c.note)(f)
	}, packed.LZMA())
	if err != nil {
		return nil, err
	}
	for i, s := range segments {
		if i == len(c.Segments) {
			c.Segments = append(c.Segments, SegmentContents{})
			folders = append(folders, nil)
		}
		end := c.Bytes // padding counts to what it follows
		if i+1 < len(segments) {
			end = segments[i+1].Offset
		}
		c.Segments[i].Offset, c.Segments[i].Bytes, c.Segments[i].Compression = s.Offset, end-s.Offset, s.Compression
		c.Segments[i].Folders = slices.Sorted(maps.Keys(folders[i]))
	}
	if len(segments) == 0 {
		return nil, errors.New("the file holds nothing but zeros")
	}
	c.Kernels = slices.Sorted(maps.Keys(kernels))
	sortModules(c.Modules)
	return c, nil
}

// note takes what a file tells about the initrd.
func (c *Contents) note(f initrd.File) error {
	switch folder, base := path.Split(f.Name); {
	case f.Name == "etc/liveboot/image.json":
		b, err := readSmall(f)
		if err != nil {
			return err
		}
		var about image
		if err := json.Unmarshal(b, &about); err != nil {
			return fmt.Errorf("read %s: %w", f.Name, err)
		}
		c.Version, c.Date = about.Version, about.Date
	case f.Name == "etc/cmdline", folder == "etc/cmdline.d/" && path.Ext(base) == ".conf":
		b, err := readSmall(f)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(b)) {
			c.Options = append(c.Options, strings.TrimSpace(line))
		}
	case strings.Contains(f.Name, firmwareRoot+"/"):
		_, name, _ := strings.Cut(f.Name, firmwareRoot+"/")
		c.Firmware = append(c.Firmware, Firmware{Path: name, Bytes: f.Size})
	default:
		if _, file, ok := cutModule(f.Name); ok && strings.Contains(base, ".ko") {
			c.Modules = append(c.Modules, Module{Name: kmodule.Name(file), Path: file, Bytes: f.Size})
		}
	}
	return nil
}

func readSmall(f initrd.File) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f.Content, aboutMax))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name, err)
	}
	return b, nil
}

// cutModule splits "lib/modules/6.1.0/kernel/a.ko" behind the release; it may
// be below usr.
func cutModule(name string) (release, file string, ok bool) {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(name, "usr/"), "lib/modules/")
	if !ok {
		return "", "", false
	}
	release, file, ok = strings.Cut(rest, "/")
	return release, file, ok
}

// topFolder is the first part of a path, and of lib the second one, too.
func topFolder(name string) string {
	parts := strings.Split(name, "/")
	switch {
	case len(parts) == 1:
		return "/"
	case (parts[0] == "lib" || parts[0] == "usr") && len(parts) > 2:
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

// Write writes the contents for people.
func (c *Contents) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if c.Version != "" {
		fmt.Fprintf(t, "liveboot\t%s\n", c.Version)
	} else {
		fmt.Fprint(t, "liveboot\tnot in it\n")
	}
	if !c.Date.IsZero() {
		fmt.Fprintf(t, "date\t%s\n", c.Date.Format(time.RFC3339))
	}
	fmt.Fprintf(t, "kernel\t%s\n", strings.Join(c.Kernels, ", "))
	for _, o := range c.Options {
		fmt.Fprintf(t, "options\t%s\n", o)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\nsegment\tat\tbytes\tcontent\tcompression\t  of\n")
	for i, s := range c.Segments {
		compression := s.Compression
		if compression == "" {
			compression = "none"
		}
		fmt.Fprintf(t, "%d\t%d\t%s\t%s\t%s\t  %s\n", i+1, s.Offset, megabytes(s.Bytes), megabytes(s.Content), compression, strings.Join(s.Folders, ", "))
	}
	fmt.Fprintf(t, "all\t\t%s\n\n", megabytes(c.Bytes))
	if err := t.Flush(); err != nil {
		return err
	}
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, m := range c.Modules {
		fmt.Fprintf(t, "%10d\t%s\n", m.Bytes, m.Path)
	}
	for _, f := range c.Firmware {
		fmt.Fprintf(t, "%10d\t%s/%s\n", f.Bytes, firmwareRoot, f.Path)
	}
	fmt.Fprintf(t, "%d modules, %d firmware files\n", len(c.Modules), len(c.Firmware))
	return t.Flush()
}
