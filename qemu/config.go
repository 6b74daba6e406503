// Package qemu starts the virtual machines of the tests.
//
// A [Config] says what the machine is made of. [Start] runs it under a test: its serial console is captured line by
// line with the time since power-on, [VM.Expect] waits for what it says, [VM.Type] answers, and whatever happens to the
// test, the process is gone when the test is over. On a failure the exact QEMU command line and the whole console are
// in the test's output, and the console stays in a file.
//
// The package stands on github.com/hugelgupf/vmtest, so its environment variables work as well: VMTEST_QEMU_APPEND and
// VMTEST_KERNEL_APPEND add arguments to every machine. Devices are those of QEMU's q35 machine,
// https://www.qemu.org/docs/master/system/i386/pc.html, and for arm64 of its virt machine.
package qemu

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"

	vmtest "github.com/hugelgupf/vmtest/qemu"
	"github.com/hugelgupf/vmtest/qemu/qnetwork"
)

// Config is what a virtual machine is made of. The zero value is a machine without a kernel, a network or a disk, which
// can only sit in its BIOS; every field may be left empty otherwise.
type Config struct {
	// Name tells machines of one test apart, in log lines and in the name of the console's file. Empty means "vm".
	Name string
	// Arch is the guest's architecture, as Go names it: AMD64, which the empty one means, or ARM64, whose serial console is
	// ttyAMA0 and which is always translated.
	Arch string
	// Firmware starts the machine; the zero value is QEMU's BIOS.
	Firmware UEFI
	// Kernel and Initrd are files on the host; an empty Kernel leaves it to the firmware to find one.
	Kernel, Initrd string
	// Append are the words of the kernel command line.
	Append []string
	// MemoryMiB is the guest's memory, in MiB; 0 means 1024.
	MemoryMiB int
	// CPUs is the number of processors; 0 means 1.
	CPUs int
	// Disks are the hard disks, in this order.
	Disks []Disk
	// CDROM is an ISO in a drive on the AHCI controller; empty means no drive.
	CDROM string
	// NICs are the network cards; none means a machine without any.
	NICs []NIC
	// NoReboot makes QEMU exit where the machine would start again.
	NoReboot bool
	// Accel is how the guest's instructions are run; the zero value asks [Probe].
	Accel Accel
	// Extra are further arguments for QEMU.
	Extra []string
}

// Bus is how a disk is attached.
type Bus string

// The ways to attach a disk; the empty one is AHCI.
const (
	AHCI   Bus = "ahci"   // /dev/sdX, driver ahci
	Virtio Bus = "virtio" // /dev/vdX, driver virtio_blk
	NVMe   Bus = "nvme"   // /dev/nvmeXn1, driver nvme
	SCSI   Bus = "scsi"   // /dev/sdX, driver virtio_scsi
	USB    Bus = "usb"    // /dev/sdX, drivers xhci_pci and usb_storage
)

// Disk is a hard disk whose content is a raw image file on the host. Its serial number is diskN, counted from 0. What it is told to
// discard becomes a hole in the file.
type Disk struct {
	// File is the image, or how QEMU reaches it: "blkdebug:rules:image" injects errors.
	File     string
	Bus      Bus
	ReadOnly bool
	// SectorSize is that of the logical and physical sectors, in bytes; 0 means 512.
	SectorSize int
	// Options are further ones of QEMU's -drive, "throttling.iops-total=100" for example.
	Options []string
}

// Network is what a card is plugged into.
type Network int

const (
	// User is QEMU's user-mode network: a DHCP server gives the guest 10.0.2.15, and 10.0.2.2 is the host's loopback.
	User Network = iota
	// Restricted is the same DHCP server with nothing behind it: packets to the host are dropped.
	Restricted
	// Silent is a cable with carrier and nobody at its other end.
	Silent
)

// NIC is a network card. The card number N has the MAC address 0e:00:00:00:00:NN, counted from 1, unless MAC says otherwise.
type NIC struct {
	// Model is a name from `qemu-system-x86_64 -device help`; empty means virtio-net-pci.
	Model   string
	MAC     net.HardwareAddr
	Network Network
	// Tap is a tap device (tun(4)) that the card is plugged into instead, Wire a datagram socket that takes and gives Ethernet frames.
	Tap, Wire *os.File
	// Boot lets the firmware boot from the network through this card: UEFI with its own driver, the BIOS with the card's boot ROM,
	// for which QEMU has iPXE.
	Boot bool
}

// UEFI is a firmware in two flash chips, such as Debian's package ovmf has it.
type UEFI struct {
	// Code is the file of the chip with the program; empty means no UEFI. Vars is that of the one with the variables, which
	// the machine writes to.
	Code, Vars string
	// SecureBoot gives the machine system management mode, without which a firmware that enforces Secure Boot does not start.
	SecureBoot bool
}

// args are QEMU's for the chips.
func (u UEFI) args() []string {
	if u.Code == "" {
		return nil
	}
	args := []string{
		"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + quote(u.Code),
		"-drive", "if=pflash,unit=1,format=raw,file=" + quote(u.Vars),
	}
	if u.SecureBoot {
		args = append(args, "-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on")
	}
	return args
}

// HostAddress is the host's loopback as seen by a guest on a [User] network.
const HostAddress = "10.0.2.2"

// Command is the machine with its serial console on the standard input and output of the command, for a person at a
// terminal: Ctrl-A x ends QEMU, Ctrl-A b sends a break. The caller sets Stdin, Stdout and Stderr.
func (c Config) Command(ctx context.Context) (*exec.Cmd, error) {
	fns, err := c.fns(ctx)
	if err != nil {
		return nil, err
	}
	fns = append(fns, vmtest.WithQEMUArgs("-serial", "mon:stdio"))
	p, err := platformOf(c.Arch)
	if err != nil {
		return nil, err
	}
	o, err := vmtest.OptionsFor(p.arch, fns...)
	if err != nil {
		return nil, fmt.Errorf("configure QEMU: %w", err)
	}
	args, err := o.Cmdline()
	if err != nil {
		return nil, fmt.Errorf("configure QEMU: %w", err)
	}
	return exec.CommandContext(ctx, args[0], args[1:]...), nil
}

// fns is the machine, without a serial line and a monitor, as vmtest's options.
func (c Config) fns(ctx context.Context) ([]vmtest.Fn, error) {
	p, err := platformOf(c.Arch)
	if err != nil {
		return nil, err
	}
	program, err := binary(p)
	if err != nil {
		return nil, err
	}
	accel := c.Accel
	switch {
	case p.arch != vmtest.ArchAMD64:
		accel = TCG
	case accel == "":
		if accel, err = Probe(ctx); err != nil {
			return nil, err
		}
	}
	fns := []vmtest.Fn{
		vmtest.WithQEMUCommand(program),
		vmtest.WithKernel(c.Kernel),
		vmtest.WithInitramfs(c.Initrd),
		vmtest.WithQEMUArgs("-nodefaults", "-machine", p.machine),
		vmtest.WithQEMUArgs(accel.args()...),
		vmtest.WithQEMUArgs("-m", strconv.Itoa(valueOr(c.MemoryMiB, 1024)), "-smp", strconv.Itoa(valueOr(c.CPUs, 1))),
		vmtest.WithQEMUArgs(c.Firmware.args()...),
		vmtest.WithQEMUArgs(c.diskArgs(p)...),
		vmtest.WithQEMUArgs(c.Extra...),
	}
	if words := c.Append; len(words) > 0 {
		if accel == TCG && p.arch == vmtest.ArchAMD64 {
			// On a busy host the translator does not always get to the ticks of the timer by which the kernel sees whether its interrupt works: it
			// panics then ("IO-APIC + timer doesn't work"). Under KVM it does not try. What stands behind "--" is init's.
			words = append([]string{"no_timer_check"}, words...)
		}
		fns = append(fns, vmtest.WithAppendKernel(words...))
	}
	if c.NoReboot {
		fns = append(fns, vmtest.WithQEMUArgs("-no-reboot"))
	}
	for i, nic := range c.NICs {
		fns = append(fns, nic.fn(i, nic.Boot && c.Firmware.Code == ""))
	}
	return fns, nil
}

func valueOr(v, otherwise int) int {
	if v == 0 {
		return otherwise
	}
	return v
}

// diskArgs attaches the disks and the CD. AHCI and the CD sit on the six ports that q35 has; the controllers for SCSI
// and USB are added with the first disk that needs them.
func (c Config) diskArgs(p platform) []string {
	var args []string
	port := 0
	controllers := map[Bus]bool{}
	controller := func(b Bus, device string) {
		if !controllers[b] && device != "" {
			controllers[b] = true
			args = append(args, "-device", device)
		}
	}
	for i, d := range c.Disks {
		id := fmt.Sprintf("disk%d", i)
		options := d.Options
		if !d.ReadOnly {
			options = append([]string{"discard=unmap"}, options...)
		}
		args = append(args, "-drive", drive(id, d.File, d.ReadOnly, options...))
		var device string
		switch d.Bus {
		case Virtio:
			device = "virtio-blk-pci"
		case NVMe:
			device = "nvme"
		case SCSI:
			controller(SCSI, "virtio-scsi-pci,id=scsi0")
			device = "scsi-hd,bus=scsi0.0"
		case USB:
			controller(USB, "qemu-xhci,id=usb0")
			device = "usb-storage,bus=usb0.0"
		default:
			controller(AHCI, p.ahci)
			device = fmt.Sprintf("ide-hd,bus=ide.%d", port)
			port++
		}
		device += ",drive=" + id + ",serial=" + id
		if d.SectorSize != 0 {
			device += fmt.Sprintf(",logical_block_size=%d,physical_block_size=%d", d.SectorSize, d.SectorSize)
		}
		args = append(args, "-device", device)
	}
	if c.CDROM != "" {
		controller(AHCI, p.ahci)
		args = append(args, "-drive", drive("cd0", c.CDROM, true, "media=cdrom"),
			"-device", fmt.Sprintf("ide-cd,bus=ide.%d,drive=cd0", port))
	}
	return args
}

// drive is a raw image for -drive. The image needs to survive the guest, not a crash of the host: cache=unsafe.
func drive(id, file string, readOnly bool, options ...string) string {
	s := fmt.Sprintf("if=none,id=%s,format=raw,cache=unsafe,file=%s", id, quote(file))
	if readOnly {
		s += ",readonly=on"
	}
	return strings.Join(append([]string{s}, options...), ",")
}

// quote doubles commas, which separate options otherwise.
func quote(value string) string { return strings.ReplaceAll(value, ",", ",,") }

// fn adds the card, with or without a boot ROM; its back end is called netdevN.
func (n NIC) fn(i int, rom bool) vmtest.Fn {
	model, mac := n.Model, n.MAC
	if model == "" {
		model = "virtio-net-pci"
	}
	if mac == nil {
		mac = net.HardwareAddr{0x0e, 0, 0, 0, 0, byte(i + 1)}
	}
	device := []qnetwork.DeviceModifier{qnetwork.WithNIC(qnetwork.NIC(model)), qnetwork.WithMAC(mac)}
	option := func(o string) {
		device = append(device, func(d *qnetwork.Device) error { d.Args = append(d.Args, o); return nil })
	}
	if !rom {
		option("romfile=") // without a boot ROM on the card the BIOS starts the kernel at once
	}
	if n.Boot {
		option(fmt.Sprintf("bootindex=%d", i))
	}
	if n.Tap != nil || n.Wire != nil {
		return n.onFile(device)
	}
	if n.Network == Silent {
		return qnetwork.New(qnetwork.WithDevice[hub](device...))
	}
	mods := []qnetwork.NetDevModifier[qnetwork.UserBackend]{qnetwork.WithDevice[qnetwork.UserBackend](device...)}
	if n.Network == Restricted {
		mods = append(mods, qnetwork.WithUser(qnetwork.WithUserArg("restrict=on")))
	}
	return qnetwork.HostNetwork("10.0.2.0/24", mods...)
}

// onFile adds the card on the tap device or the socket.
func (n NIC) onFile(device []qnetwork.DeviceModifier) vmtest.Fn {
	return func(ids *vmtest.IDAllocator, o *vmtest.Options) error {
		var end file
		if n.Tap != nil {
			end = file{o.AddFile(n.Tap), "tap,fd=%d,id=%s"}
		} else {
			end = file{o.AddFile(n.Wire), "dgram,local.type=fd,local.str=%d,id=%s"}
		}
		plug := func(_ string, _ *vmtest.IDAllocator, _ *vmtest.Options, d *qnetwork.NetDevice[file]) error {
			d.Backend = end
			return nil
		}
		return qnetwork.New(qnetwork.WithDevice[file](device...), plug)(ids, o)
	}
}

// file is a back end of vmtest that is open already.
type file struct {
	fd     int
	format string // of the argument, with the file's number and the id
}

func (f file) NetDev(id string) string { return fmt.Sprintf(f.format, f.fd, id) }

func (file) Validate() error { return nil }

// hub is a back end of vmtest: a port of a hub to which nothing else is connected.
type hub struct{}

func (hub) NetDev(id string) string { return "hubport,hubid=0,id=" + id }

func (hub) Validate() error { return nil }
