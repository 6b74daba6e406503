package initramfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"github.com/liveboot/liveboot/pkg/kernelmodules"
	"io/fs"
	"path"
)

// microcodeFile is what the kernel looks for in the first archive of an
// initrd, before it starts the processors
// (Documentation/arch/x86/microcode.rst): all updates of a vendor in a row.
type microcodeFile struct {
	name     string
	packages string // what has the updates, for people
	patterns []string
}

func microcodeFiles() []microcodeFile {
	return []microcodeFile{
		{"kernel/x86/microcode/AuthenticAMD.bin", "amd64-microcode", []string{"amd-ucode/microcode_amd*.bin", "amd-ucode/microcode_amd*.bin.xz", "amd-ucode/microcode_amd*.bin.zst"}},
		{"kernel/x86/microcode/GenuineIntel.bin", "intel-microcode", []string{"intel-ucode/??-??-??*"}},
	}
}

// microcode is the segment with the processors' microcode, if it was asked
// for.
func (b *builder) microcode(context.Context) (segment, error) {
	s := segment{name: "microcode", stored: true}
	if !b.config.Microcode {
		return s, nil
	}
	if !b.arch.microcode {
		return s, fmt.Errorf("-microcode: the kernel of %s takes none from an initrd; leave the option out", b.arch.goarch)
	}
	fsys, err := b.firmwareFolder()
	if err != nil {
		return s, err
	}
	var w earlyArchive
	for _, f := range microcodeFiles() {
		updates, err := joinedFiles(fsys, f.patterns)
		if err != nil {
			return s, err
		}
		if updates == nil {
			b.report("no microcode for %s (Debian's package %s has it)", path.Base(f.name), f.packages)
			continue
		}
		w.add(f.name, updates)
		b.manifest.Microcode = append(b.manifest.Microcode, Firmware{Path: f.name, Bytes: int64(len(updates))})
	}
	if w.Len() == 0 {
		return s, errors.New("-microcode: there are no updates in /lib/firmware/intel-ucode and /lib/firmware/amd-ucode; install intel-microcode and amd64-microcode, or name the folder above these two with -firmware")
	}
	s.raw = w.finish()
	return s, nil
}

// joinedFiles is the files of all patterns one behind the other, in the order
// of their names, decompressed; nil if there is none.
func joinedFiles(fsys fs.FS, patterns []string) ([]byte, error) {
	var all []byte
	for _, pattern := range patterns {
		files, err := fs.Glob(fsys, pattern)
		if err != nil {
			return nil, fmt.Errorf("find microcode: %w", err)
		}
		for _, file := range files {
			b, err := kernelmodules.ReadModule(fsys, file)
			if err != nil {
				return nil, fmt.Errorf("read microcode: %w", err)
			}
			all = append(all, b...)
		}
	}
	return all, nil
}

// earlyArchive writes a newc archive of which each file's content begins at a
// multiple of 16 bytes: Intel's processors take microcode only from such an
// address, and not every kernel copies it to one. The names are padded with
// NUL for that, as iucode_tool does.
type earlyArchive struct {
	bytes.Buffer
	count int
}

const (
	newcHeader    = 110 // bytes
	microcodeUnit = 16  // bytes
	archiveBlock  = 512 // bytes; the archive's end, as cpio(1) pads it
)

func (w *earlyArchive) add(name string, content []byte) {
	for dir := ""; ; {
		next := bytes.IndexByte([]byte(name[len(dir):]), '/')
		if next < 0 {
			break
		}
		dir = name[:len(dir)+next]
		if !bytes.Contains(w.Bytes(), append([]byte(dir), 0)) {
			w.header(dir, 0o040755, 2, 0, len(dir)+1)
		}
		dir += "/"
	}
	size := len(name) + 1
	for (w.Len()+newcHeader+size)%microcodeUnit != 0 {
		size++
	}
	w.header(name, 0o100644, 1, len(content), size)
	w.Write(content)
	w.pad(4)
}

func (w *earlyArchive) header(name string, mode, links, fileSize, nameSize int) {
	w.count++
	// ino, mode, uid, gid, nlink, mtime, filesize, device and its device
	// number (4), namesize, check
	fmt.Fprintf(w, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		w.count, mode, 0, 0, links, 0, fileSize, 0, 0, 0, 0, nameSize, 0)
	w.WriteString(name)
	w.Write(make([]byte, nameSize-len(name)))
	w.pad(4)
}

func (w *earlyArchive) pad(unit int) {
	for w.Len()%unit != 0 {
		w.WriteByte(0)
	}
}

func (w *earlyArchive) finish() []byte {
	w.header("TRAILER!!!", 0, 1, 0, len("TRAILER!!!")+1)
	w.pad(archiveBlock)
	return w.Bytes()
}
