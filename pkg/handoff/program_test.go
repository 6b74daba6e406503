package handoff

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/needs"
)

// elfFile is a program of 64 or 32 bits with one segment, and a second one that names the loader if there is one. Without code it cannot run.
func elfFile(t testing.TB, m machine, kind elf.Type, loader string) []byte {
	t.Helper()
	const headers = 64 + 2*56 // of the wider class
	var fields []any
	count, interp := 1, headers
	if loader != "" {
		loader += "\x00"
		count = 2
	}
	size := headers + len(loader)
	ident := [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(m.class), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)}
	switch m.class {
	case elf.ELFCLASS32:
		fields = append(fields,
			elf.Header32{Ident: ident, Type: uint16(kind), Machine: uint16(m.arch), Phoff: 52, Phentsize: 32, Phnum: uint16(count)},
			elf.Prog32{Type: uint32(elf.PT_LOAD), Filesz: uint32(size)},
			elf.Prog32{Type: uint32(elf.PT_INTERP), Off: uint32(interp), Filesz: uint32(len(loader))})
	default:
		fields = append(fields,
			elf.Header64{Ident: ident, Type: uint16(kind), Machine: uint16(m.arch), Phoff: 64, Phentsize: 56, Phnum: uint16(count)},
			elf.Prog64{Type: uint32(elf.PT_LOAD), Filesz: uint64(size)},
			elf.Prog64{Type: uint32(elf.PT_INTERP), Off: uint64(interp), Filesz: uint64(len(loader))})
	}
	var b bytes.Buffer
	for _, field := range fields {
		if err := binary.Write(&b, binary.LittleEndian, field); err != nil {
			t.Fatal(err)
		}
	}
	return append(append(b.Bytes(), make([]byte, headers-b.Len())...), loader...)
}

// foreign is the other 64-bit architecture.
func foreign() machine {
	if ownMachine().arch == elf.EM_AARCH64 {
		return machine{elf.ELFCLASS64, elf.EM_X86_64}
	}
	return machine{elf.ELFCLASS64, elf.EM_AARCH64}
}

func TestCheckProgram(t *testing.T) {
	static := elfFile(t, ownMachine(), elf.ET_EXEC, "")
	dynamic := string(elfFile(t, ownMachine(), elf.ET_DYN, "/lib/loader"))
	change := func(at int, b ...byte) string {
		changed := bytes.Clone(static)
		copy(changed[at:], b)
		return string(changed)
	}
	scripts := func(n int) map[string]string {
		files := map[string]string{fmt.Sprintf("s%d", n): string(static)}
		for i := range n {
			files[fmt.Sprintf("s%d", i)] = fmt.Sprintf("#!/s%d\n", i+1)
		}
		files["init"] = files["s0"]
		return files
	}
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string // part of the error; empty for none
	}{
		{"static program", map[string]string{"init": string(static)}, ""},
		{"program with its loader", map[string]string{"init": dynamic, "lib/loader": string(static)}, ""},
		{"program without its loader", map[string]string{"init": dynamic}, "its interpreter /lib/loader: no such file"},
		{"loader behind a link", map[string]string{"init": dynamic, "lib": "->/usr/lib", "usr/lib/loader": "->ld-1.so", "usr/lib/ld-1.so": string(static)}, ""},
		{"loader behind a link to nowhere", map[string]string{"init": dynamic, "lib/loader": "->ld-1.so"}, "its interpreter /lib/loader: is a symbolic link to ld-1.so: no such file"},
		{"loader that is a script", map[string]string{"init": dynamic, "lib/loader": "#!/init\n"}, "its interpreter /lib/loader: is neither a program"},
		{"loader that is not executable", map[string]string{"init": dynamic, "lib/loader": "-" + string(static)}, "its interpreter /lib/loader: is not executable"},
		{"loader of another machine", map[string]string{"init": dynamic, "lib/loader": string(elfFile(t, foreign(), elf.ET_DYN, ""))}, "its interpreter /lib/loader: is a program for"},
		{"of another machine", map[string]string{"init": string(elfFile(t, foreign(), elf.ET_EXEC, ""))}, "is for another architecture"},
		{"of 32 bits and another machine", map[string]string{"init": string(elfFile(t, machine{elf.ELFCLASS32, elf.EM_PPC}, elf.ET_EXEC, ""))}, "is for another architecture"},
		{"x32", map[string]string{"init": string(elfFile(t, machine{elf.ELFCLASS32, ownMachine().arch}, elf.ET_EXEC, ""))}, "is for another architecture"},
		{"big-endian", map[string]string{"init": change(elf.EI_DATA, byte(elf.ELFDATA2MSB))}, "big-endian"},
		{"of no class", map[string]string{"init": change(elf.EI_CLASS, 9)}, "neither a program nor a script"},
		{"object file", map[string]string{"init": change(16, byte(elf.ET_REL))}, "ELF of type ET_REL"},
		{"without program headers", map[string]string{"init": change(56, 0)}, "0 program headers"},
		{"headers of another size", map[string]string{"init": change(54, 1)}, "program headers of 1 bytes"},
		{"headers beyond the end", map[string]string{"init": change(32, 0, 0, 0, 0, 0, 0, 0, 0x7f)}, "is cut off"},
		{"headers before the start", map[string]string{"init": change(39, 0x80)}, "is cut off"},
		{"cut off in its last segment", map[string]string{"init": string(static[:len(static)-1])}, "is cut off: it has 175 bytes, and needs 176"},
		{"cut off in its header", map[string]string{"init": string(static[:30])}, "neither a program nor a script"},
		{"a segment without an end", map[string]string{"init": change(64+8, bytes.Repeat([]byte{0xff}, 40)...)}, "is cut off"},
		{"loader without an end", map[string]string{"init": dynamic[:len(dynamic)-1] + "x"}, "names its dynamic loader without an end"},
		{"empty", map[string]string{"init": ""}, "neither a program nor a script"},
		{"a folder", map[string]string{"init/": ""}, "is not a regular file"},
		{"not executable", map[string]string{"init": "-" + string(static)}, "is not executable (mode -rw-r--r--)"},

		{"script", map[string]string{"init": "#! \t/bin/sh -e -x\n", "bin/sh": string(static)}, ""},
		{"script in one line", map[string]string{"init": "#!/bin/sh", "bin/sh": string(static)}, ""},
		{"script with a NUL", map[string]string{"init": "#!/bin/sh\x00", "bin/sh": string(static)}, ""},
		{"script from the root folder", map[string]string{"init": "#!bin/sh\n", "bin/sh": string(static)}, ""},
		{"script without its interpreter", map[string]string{"init": "#!/bin/sh\n"}, "its interpreter /bin/sh: no such file"},
		{"script whose interpreter lacks its loader", map[string]string{"init": "#!/bin/sh\n", "bin/sh": dynamic}, "its interpreter /bin/sh: its interpreter /lib/loader: no such file"},
		{"script from elsewhere", map[string]string{"init": "#!/bin/sh\r\nexec x\r\n", "bin/sh": string(static)}, `named "/bin/sh\r"`},
		{"script that names nothing", map[string]string{"init": "#! \n"}, "names no interpreter"},
		{"script with a name that is too long", map[string]string{"init": "#!/" + strings.Repeat("x", 300) + "\n"}, "does not end within 256 bytes"},
		{"script with many arguments", map[string]string{"init": "#!/bin/sh " + strings.Repeat("x", 300) + "\n", "bin/sh": string(static)}, ""},
		{"five scripts", scripts(5), ""},
		{"six scripts", scripts(6), "too many interpreters"},
		{"scripts in a circle", map[string]string{"init": "#!/init\n"}, "too many interpreters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := (Spec{}).checkProgram(tree(t, tt.files), "/init", 0)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("checkProgram = %v, want %q", err, tt.want)
			}
		})
	}
}

// TestCheckProgramOnNoExec: the kernel runs nothing from a file system that is mounted noexec.
func TestCheckProgramOnNoExec(t *testing.T) {
	needs.That(t, os.Geteuid() == 0, "root")
	root := t.TempDir()
	if err := unix.Mount("tmpfs", root, "tmpfs", unix.MS_NOEXEC, ""); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(root, 0); err != nil {
			t.Error(err)
		}
	}()
	if err := os.WriteFile(filepath.Join(root, "init"), elfFile(t, ownMachine(), elf.ET_EXEC, ""), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := (Spec{}).checkProgram(root, "/init", 0); err == nil || !strings.Contains(err.Error(), "noexec") {
		t.Errorf("checkProgram = %v, want noexec", err)
	}
}

// TestKernelAgrees runs what TestCheckProgram calls a program, and what not, with this machine's kernel, where the two can be compared: a
// program of 32 bits, and chains of scripts.
func TestKernelAgrees(t *testing.T) {
	root := t.TempDir()
	file := func(name, content string) string {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	previous := "/bin/true"
	for i := range maxScripts + 1 {
		script := file(fmt.Sprintf("s%d", i), "#!"+previous+"\n")
		if got, want := starts(t, script), (Spec{}).checkProgram("/", script, 0) == nil; got != want {
			t.Errorf("%d scripts in each other: the kernel says %t, checkProgram %t", i+1, got, want)
		}
		previous = script
	}
	for name, content := range map[string]string{
		"carriage return": "#!/bin/true\r\n", "no interpreter": "#!\n", "arguments": "#! /bin/true -x -y\n",
		"32 bits": string(smallest(oldMachine().arch)), "text": "hello",
	} {
		path := file(name, content)
		if got, want := starts(t, path), (Spec{}).checkProgram("/", path, 0) == nil; got != want {
			t.Errorf("%s: the kernel says %t, checkProgram %t", name, got, want)
		}
	}
}

func starts(t *testing.T, path string) bool {
	t.Helper()
	p, err := os.StartProcess(path, []string{path}, &os.ProcAttr{})
	if err != nil {
		return false
	}
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	return true
}

// FuzzReadProgram: whatever a file holds, reading it ends, with a loader's name that the kernel could open or with an error.
func FuzzReadProgram(f *testing.F) {
	f.Add(elfFile(f, ownMachine(), elf.ET_DYN, "/lib/ld.so"))
	f.Add(elfFile(f, machine{elf.ELFCLASS32, elf.EM_386}, elf.ET_EXEC, "/lib/ld.so"))
	f.Add([]byte("#!/bin/sh -e\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		file := bytes.NewReader(content)
		if p, err := readProgram(file, file.Size()); err == nil && (len(p.loader) > unix.PathMax || strings.Contains(p.loader, "\x00")) {
			t.Errorf("loader %q", p.loader)
		}
		if name, err := scriptInterpreter(file); err == nil && strings.ContainsAny(name, "\n\x00 \t") {
			t.Errorf("interpreter %q", name)
		}
	})
}
