package handoff

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// machine is what programs an ELF file's header says it is for.
type machine struct {
	class elf.Class
	arch  elf.Machine
}

func (m machine) String() string { return fmt.Sprintf("%v (%v)", m.arch, m.class) }

// ownMachine is that of the programs of a kernel of this architecture, and oldMachine of those of 32 bits, which it may run as well.
func ownMachine() machine {
	return map[string]machine{"amd64": {elf.ELFCLASS64, elf.EM_X86_64}, "arm64": {elf.ELFCLASS64, elf.EM_AARCH64}}[runtime.GOARCH]
}

func oldMachine() machine {
	return map[string]machine{"amd64": {elf.ELFCLASS32, elf.EM_386}, "arm64": {elf.ELFCLASS32, elf.EM_ARM}}[runtime.GOARCH]
}

// program is what the kernel reads of an ELF file, according to fs/binfmt_elf.c.
type program struct {
	machine machine
	// loader is the path of the dynamic loader; empty for a static program.
	loader string
}

// checkELF makes sure that the kernel can run f, and that its dynamic loader finds the libraries.
func (s Spec) checkELF(root string, f *os.File) error {
	p, err := openedProgram(f)
	if err != nil {
		return err
	}
	switch own := ownMachine(); {
	case p.machine == own:
	case p.machine != oldMachine():
		return fmt.Errorf("is a program for %v, and this machine is %v: the image is for another architecture", p.machine, own)
	case !runs32():
		return fmt.Errorf("is a program for %v, and this kernel runs none of 32 bits", p.machine)
	}
	if p.loader == "" {
		return nil
	}
	if err := checkLoader(root, p); err != nil {
		return fmt.Errorf("its interpreter %s: %w", p.loader, err)
	}
	if s.Streamed {
		return nil
	}
	return checkLibraries(root, f, p.loader)
}

// checkLoader makes sure that p's dynamic loader is a program of the same kind; the kernel takes no other, and no script.
func checkLoader(root string, p program) error {
	f, err := openProgram(root, p.loader)
	if err != nil {
		return err
	}
	defer f.Close()
	loader, err := openedProgram(f)
	if err != nil {
		return err
	}
	if loader.machine != p.machine {
		return fmt.Errorf("is a program for %v, and the one that needs it for %v", loader.machine, p.machine)
	}
	return nil
}

func openedProgram(f *os.File) (program, error) {
	info, err := f.Stat()
	if err != nil {
		return program{}, err
	}
	return readProgram(f, info.Size())
}

// maxHeaders bounds the program headers, in bytes, as the kernel does.
const maxHeaders = 65536

// readProgram reads the headers of an ELF file of size bytes. Sections are of no meaning for the kernel, and nobody need have kept them.
func readProgram(f io.ReaderAt, size int64) (program, error) {
	header, m, err := readHeader(f)
	if err != nil {
		return program{}, fmt.Errorf("is neither a program nor a script: %w", err)
	}
	table, err := readAt(f, int64(header.Phoff), int(header.Phnum)*int(header.Phentsize))
	if err != nil {
		return program{}, fmt.Errorf("is cut off: read its program headers: %w", err)
	}
	p := program{machine: m}
	for ; len(table) > 0; table = table[header.Phentsize:] {
		segment := segmentOf(m.class, table)
		switch elf.ProgType(segment.Type) {
		case elf.PT_LOAD:
			if segment.Filesz > 0 && segment.Off+segment.Filesz > uint64(size) {
				return program{}, fmt.Errorf("is cut off: it has %d bytes, and needs %d", size, segment.Off+segment.Filesz)
			}
		case elf.PT_INTERP:
			if p.loader != "" {
				continue // the kernel takes the first
			}
			if p.loader, err = readLoader(f, segment); err != nil {
				return program{}, err
			}
		}
	}
	return p, nil
}

// readHeader returns the header of either class in the form of the wider one.
func readHeader(f io.ReaderAt) (elf.Header64, machine, error) {
	var header elf.Header64
	ident, err := readAt(f, 0, elf.EI_NIDENT)
	if err != nil || !bytes.HasPrefix(ident, []byte(elf.ELFMAG)) {
		return header, machine{}, errors.New("no ELF header")
	}
	m := machine{class: elf.Class(ident[elf.EI_CLASS])}
	size := 0
	switch m.class {
	case elf.ELFCLASS64:
		err, size = decode(f, &header), binary.Size(elf.Prog64{})
	case elf.ELFCLASS32:
		var narrow elf.Header32
		err, size = decode(f, &narrow), binary.Size(elf.Prog32{})
		header = elf.Header64{Type: narrow.Type, Machine: narrow.Machine, Phoff: uint64(narrow.Phoff), Phentsize: narrow.Phentsize, Phnum: narrow.Phnum}
	default:
		return header, m, fmt.Errorf("ELF of %v", m.class)
	}
	m.arch = elf.Machine(header.Machine)
	switch kind := elf.Type(header.Type); {
	case err != nil:
		return header, m, err
	case elf.Data(ident[elf.EI_DATA]) != elf.ELFDATA2LSB:
		// All machines that we run on are little-endian, and the fields of another one say nothing.
		return header, m, errors.New("ELF of a big-endian machine")
	case kind != elf.ET_EXEC && kind != elf.ET_DYN:
		return header, m, fmt.Errorf("ELF of type %v", kind)
	case int(header.Phentsize) != size || header.Phnum == 0 || int(header.Phnum)*size > maxHeaders:
		return header, m, fmt.Errorf("ELF with %d program headers of %d bytes", header.Phnum, header.Phentsize)
	}
	return header, m, nil
}

func decode(f io.ReaderAt, header any) error {
	return binary.Read(io.NewSectionReader(f, 0, int64(binary.Size(header))), binary.LittleEndian, header)
}

// segmentOf reads the first program header of a table, which holds a whole one.
func segmentOf(class elf.Class, table []byte) elf.Prog64 {
	le := binary.LittleEndian
	if class == elf.ELFCLASS32 {
		return elf.Prog64{Type: le.Uint32(table), Off: uint64(le.Uint32(table[4:])), Filesz: uint64(le.Uint32(table[16:]))}
	}
	// Beyond what a file can have, the sum of the two must not wrap.
	const most = 1 << 62
	return elf.Prog64{Type: le.Uint32(table), Off: min(le.Uint64(table[8:]), most), Filesz: min(le.Uint64(table[32:]), most)}
}

func readLoader(f io.ReaderAt, segment elf.Prog64) (string, error) {
	if segment.Filesz < 2 || segment.Filesz > unix.PathMax {
		return "", fmt.Errorf("names its dynamic loader with %d bytes", segment.Filesz)
	}
	name, err := readAt(f, int64(segment.Off), int(segment.Filesz))
	if err != nil {
		return "", fmt.Errorf("is cut off: read the name of its dynamic loader: %w", err)
	}
	if name[len(name)-1] != 0 {
		return "", errors.New("names its dynamic loader without an end")
	}
	name, _, _ = bytes.Cut(name, []byte{0})
	return string(name), nil
}

func readAt(f io.ReaderAt, at int64, size int) ([]byte, error) {
	b := make([]byte, size)
	_, err := f.ReadAt(b, at)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}
