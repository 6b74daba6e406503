package initramfs

import (
	"bytes"
	"cmp"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/u-root/mkuimage/cpio"

	kmodule "github.com/liveboot/liveboot/pkg/kernel/module"
)

// firmwareRoot is where the kernel looks for firmware, without a leading "/".
const firmwareRoot = "lib/firmware"

// firmwareFile is the name of a firmware segment's own file.
const firmwareFile = "firmware"

// firmwareNames is which firmware is wanted, as the modules name it, and by
// which modules.
type firmwareNames map[string][]string

func (n firmwareNames) add(module string, names ...string) {
	for _, name := range names {
		if !slices.Contains(n[name], module) {
			n[name] = append(n[name], module)
		}
	}
}

// addBuiltin adds what drivers ask for that are built in; records are those
// of modules.builtin.modinfo.
func (n firmwareNames) addBuiltin(records []string) {
	for _, record := range records {
		key, value, _ := strings.Cut(record, "=")
		if module, ok := strings.CutSuffix(key, ".firmware"); ok {
			n.add(kmodule.Name(module), value)
		}
	}
}

// firmwareOf is the firmware that a module names: "firmware=" in its section
// .modinfo, whose records end with NUL (include/linux/moduleparam.h in the
// kernel). What is no ELF file names none.
func firmwareOf(module []byte) []string {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil
	}
	info, err := section.Data()
	if err != nil {
		return nil
	}
	var names []string
	for record := range bytes.SplitSeq(info, []byte{0}) {
		if name, ok := bytes.CutPrefix(record, []byte("firmware=")); ok && fs.ValidPath(string(name)) {
			names = append(names, string(name))
		}
	}
	return names
}

// firmwareTree reads a folder like /lib/firmware as the kernel's loader does
// (drivers/base/firmware_loader/main.c): a name is looked for in a few
// folders, as it is and compressed.
type firmwareTree struct {
	fsys    fs.FS
	folders []string // in the loader's order
	files   *archive
	found   map[string]*Firmware // by path in the tree, without the compression's suffix
}

func newFirmwareTree(fsys fs.FS, release string) *firmwareTree {
	return &firmwareTree{
		fsys:    fsys,
		folders: []string{"updates/" + release, "updates", release, "."},
		files:   newArchive(),
		found:   map[string]*Firmware{},
	}
}

// firmwareSuffixes are the compressions that the loader knows, none first.
func firmwareSuffixes() []string { return []string{"", ".zst", ".xz"} }

// add adds the firmware of one name, which may be a pattern, and says whether
// there is any. What is compressed is stored decompressed: a kernel without
// CONFIG_FW_LOADER_COMPRESS reads it as well, and the whole is compressed
// better so.
func (t *firmwareTree) add(name string, modules []string) (bool, error) {
	any := false
	for _, folder := range t.folders {
		matches, err := t.glob(path.Join(folder, name))
		if err != nil {
			return false, err
		}
		for _, file := range matches {
			if err := t.addFile(file, modules, maxLinks); err != nil {
				return false, err
			}
		}
		any = any || len(matches) > 0
		if any && !isPattern(name) {
			return true, nil
		}
	}
	return any, nil
}

func isPattern(name string) bool { return strings.ContainsAny(name, "*?[") }

// glob finds the files of a name or pattern; of a file that is there in
// several forms the one that the loader would take.
func (t *firmwareTree) glob(pattern string) ([]string, error) {
	var files []string
	seen := map[string]bool{}
	for _, suffix := range firmwareSuffixes() {
		matches := []string{pattern + suffix}
		if isPattern(pattern) {
			var err error
			if matches, err = fs.Glob(t.fsys, pattern+suffix); err != nil {
				return nil, fmt.Errorf("find firmware %s: %w", pattern, err)
			}
		}
		for _, file := range matches {
			name := plainFirmware(file)
			info, err := fs.Stat(t.fsys, file)
			if err != nil || !info.Mode().IsRegular() || seen[name] {
				continue // a link to nowhere is as good as no file
			}
			seen[name] = true
			files = append(files, file)
		}
	}
	slices.Sort(files)
	return files, nil
}

// plainFirmware is the name under which the loader is asked for a file.
func plainFirmware(file string) string {
	return strings.TrimSuffix(strings.TrimSuffix(file, ".zst"), ".xz")
}

// maxLinks is how many symbolic links the kernel follows (MAXSYMLINKS).
const maxLinks = 40

// addFile adds one file, as a symbolic link if it is one that stays in the
// tree: many names stand for the same file there.
func (t *firmwareTree) addFile(file string, modules []string, links int) error {
	name := plainFirmware(file)
	f, known := t.found[name]
	if known {
		for _, m := range modules {
			if !slices.Contains(f.For, m) {
				f.For = append(f.For, m)
			}
		}
		return nil
	}
	f = &Firmware{Path: name, For: slices.Clone(modules)}
	t.found[name] = f
	target, err := t.link(file)
	if err != nil {
		return err
	}
	if target != "" && links > 0 {
		f.Link = relative(path.Dir(name), plainFirmware(target))
		t.files.add(cpio.Symlink(path.Join(firmwareRoot, name), f.Link))
		return t.addFile(target, modules, links-1)
	}
	b, err := readFile(t.fsys, file)
	if err != nil {
		return fmt.Errorf("read firmware: %w", err)
	}
	if file != name {
		if b, err = decompress(b); err != nil {
			return fmt.Errorf("decompress firmware %s: %w", file, err)
		}
	}
	f.Bytes = int64(len(b))
	t.files.file(path.Join(firmwareRoot, name), b, 0o644)
	return nil
}

// link is the file in the tree that a symbolic link points to; empty for what
// is no link, or one that leads out of the tree or through another link.
func (t *firmwareTree) link(file string) (string, error) {
	info, err := fs.Lstat(t.fsys, file)
	if err != nil {
		return "", fmt.Errorf("read firmware: %w", err)
	}
	if info.Mode().Type() != fs.ModeSymlink {
		return "", nil
	}
	target, err := fs.ReadLink(t.fsys, file)
	if err != nil {
		return "", fmt.Errorf("read firmware: %w", err)
	}
	inside := path.Join(path.Dir(file), target)
	if absolute, ok := strings.CutPrefix(target, "/"+firmwareRoot+"/"); ok {
		inside = path.Clean(absolute)
	} else if path.IsAbs(target) {
		return "", nil
	}
	if _, err := fs.Lstat(t.fsys, inside); err != nil || !fs.ValidPath(inside) {
		return "", nil
	}
	// The image has the same compression's suffix off both, or off none.
	if strings.TrimPrefix(file, plainFirmware(file)) != strings.TrimPrefix(inside, plainFirmware(inside)) {
		return "", nil
	}
	return inside, nil
}

// relative is how to write a path as seen from a folder; both are below the
// same root.
func relative(folder, target string) string {
	from, to := strings.Split(folder, "/"), strings.Split(target, "/")
	if folder == "." {
		from = nil
	}
	for len(from) > 0 && len(to) > 1 && from[0] == to[0] {
		from, to = from[1:], to[1:]
	}
	return strings.Repeat("../", len(from)) + strings.Join(to, "/")
}

// list is what was added, in the order of the paths.
func (t *firmwareTree) list() []Firmware {
	var all []Firmware
	for _, name := range slices.Sorted(maps.Keys(t.found)) {
		all = append(all, *t.found[name])
	}
	return all
}

// firmware is the segment with what the modules load into their devices;
// where none is to be found there is no segment.
func (b *builder) firmware(context.Context) (segment, error) {
	s := segment{name: "firmware"}
	if b.config.NoFirmware {
		return s, nil
	}
	if b.config.SeparateFirmware {
		s.file = firmwareFile
	}
	fsys, err := b.firmwareFolder()
	if err != nil {
		return s, err
	}
	tree := newFirmwareTree(fsys, b.kernel.release)
	for _, name := range slices.Sorted(maps.Keys(b.wanted)) {
		found, err := tree.add(name, b.wanted[name])
		if err != nil {
			return s, err
		}
		if !found {
			b.manifest.Missing = append(b.manifest.Missing, Firmware{Path: name, For: b.wanted[name]})
		}
	}
	b.manifest.Firmware = tree.list()
	if len(tree.found) == 0 {
		return s, nil
	}
	s.raw, err = tree.files.bytes()
	return s, err
}

// firmwareFolder is the folder asked for, or the one beside the modules.
func (b *builder) firmwareFolder() (fs.FS, error) {
	if b.config.Firmware == "" {
		return b.kernel.firmware, nil
	}
	info, err := os.Stat(b.config.Firmware)
	if err == nil && !info.IsDir() {
		err = errors.New("not a folder")
	}
	if err != nil {
		return nil, fmt.Errorf("read firmware from %s: %w; -firmware takes a folder like /lib/firmware", b.config.Firmware, err)
	}
	return os.DirFS(cmp.Or(b.config.Firmware, ".")), nil
}
