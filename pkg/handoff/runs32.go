package handoff

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// runs32 says whether the kernel runs programs of oldMachine. Only the attempt tells: it depends on how the kernel was built
// (CONFIG_IA32_EMULATION, CONFIG_COMPAT), on its command line (ia32_emulation=), and with ARM on the processor. When even the attempt fails,
// the answer is yes: what stops a boot has to be certain.
func runs32() bool {
	f, err := programFile(smallest(oldMachine().arch))
	if err != nil {
		return true
	}
	defer f.Close()
	// The name in /proc is that of the child's own descriptor, which is closed on exec and not before.
	process, err := os.StartProcess(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), []string{"true"}, &os.ProcAttr{Env: []string{}})
	if err != nil {
		return !errors.Is(err, unix.ENOEXEC)
	}
	_, err = process.Wait()
	return err == nil
}

// programFile is a file in memory, open for reading only: what is open for writing cannot be executed.
func programFile(content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("true", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	written := os.NewFile(uintptr(fd), "true")
	defer written.Close()
	if _, err := written.Write(content); err != nil {
		return nil, err
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
}

// smallest is a program of 32 bits that ends at once, with success.
func smallest(arch elf.Machine) []byte {
	code := []byte{
		0x31, 0xdb, // xor ebx, ebx
		0x8d, 0x43, 0x01, // lea eax, [ebx+1]: exit
		0xcd, 0x80, // int 80h
	}
	if arch == elf.EM_ARM {
		code = []byte{
			0x00, 0x00, 0xa0, 0xe3, // mov r0, #0
			0x01, 0x70, 0xa0, 0xe3, // mov r7, #1: exit
			0x00, 0x00, 0x00, 0xef, // svc 0
		}
	}
	const base = 0x10000
	header := elf.Header32{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS32), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(arch), Version: uint32(elf.EV_CURRENT), Ehsize: 52, Phoff: 52, Phentsize: 32, Phnum: 1,
		Entry: base + 52 + 32,
	}
	if arch == elf.EM_ARM {
		header.Flags = 5 << 24 // EF_ARM_EABI_VER5
	}
	size := uint32(52 + 32 + len(code))
	segment := elf.Prog32{
		Type: uint32(elf.PT_LOAD), Vaddr: base, Paddr: base, Filesz: size, Memsz: size, Flags: uint32(elf.PF_R | elf.PF_X), Align: 4096,
	}
	var b bytes.Buffer
	// A Buffer takes everything.
	_ = binary.Write(&b, binary.LittleEndian, header)
	_ = binary.Write(&b, binary.LittleEndian, segment)
	b.Write(code)
	return b.Bytes()
}
