package qemu

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCommand(t *testing.T) {
	tests := []struct {
		name string
		in   Config
		want string // behind the program
	}{
		{
			"nothing", Config{Accel: TCG},
			"-nographic -nodefaults -machine q35 -accel tcg,thread=multi,tb-size=128 -cpu max -m 1024 -smp 1 -serial mon:stdio",
		},
		{
			"kernel", Config{Accel: KVM, Kernel: "k", Initrd: "i", Append: []string{"a", "b=c"}, MemoryMiB: 64, CPUs: 2, NoReboot: true, Extra: []string{"-S"}},
			"-nographic -nodefaults -machine q35 -accel kvm -cpu host -m 64 -smp 2 -S -no-reboot -serial mon:stdio -kernel k -append a b=c -initrd i",
		},
		{
			"kernel of a translator", Config{Accel: TCG, Kernel: "k", Append: []string{"a"}},
			"-nographic -nodefaults -machine q35 -accel tcg,thread=multi,tb-size=128 -cpu max -m 1024 -smp 1 -serial mon:stdio -kernel k -append no_timer_check a",
		},
		{
			"disks", Config{Accel: TCG, Disks: []Disk{{File: "a,b"}, {File: "v", Bus: Virtio, ReadOnly: true}, {File: "n", Bus: NVMe}, {File: "s", Bus: SCSI}, {File: "t", Bus: SCSI}, {File: "u", Bus: USB}}, CDROM: "cd"},
			"-nographic -nodefaults -machine q35 -accel tcg,thread=multi,tb-size=128 -cpu max -m 1024 -smp 1" +
				" -drive if=none,id=disk0,format=raw,cache=unsafe,file=a,,b,discard=unmap -device ide-hd,bus=ide.0,drive=disk0,serial=disk0" +
				" -drive if=none,id=disk1,format=raw,cache=unsafe,file=v,readonly=on -device virtio-blk-pci,drive=disk1,serial=disk1" +
				" -drive if=none,id=disk2,format=raw,cache=unsafe,file=n,discard=unmap -device nvme,drive=disk2,serial=disk2" +
				" -drive if=none,id=disk3,format=raw,cache=unsafe,file=s,discard=unmap -device virtio-scsi-pci,id=scsi0 -device scsi-hd,bus=scsi0.0,drive=disk3,serial=disk3" +
				" -drive if=none,id=disk4,format=raw,cache=unsafe,file=t,discard=unmap -device scsi-hd,bus=scsi0.0,drive=disk4,serial=disk4" +
				" -drive if=none,id=disk5,format=raw,cache=unsafe,file=u,discard=unmap -device qemu-xhci,id=usb0 -device usb-storage,bus=usb0.0,drive=disk5,serial=disk5" +
				" -drive if=none,id=cd0,format=raw,cache=unsafe,file=cd,readonly=on,media=cdrom -device ide-cd,bus=ide.1,drive=cd0 -serial mon:stdio",
		},
		{
			"large sectors", Config{Accel: TCG, Disks: []Disk{{File: "a", Bus: Virtio, SectorSize: 4096, Options: []string{"throttling.iops-total=9", "werror=stop"}}}},
			"-nographic -nodefaults -machine q35 -accel tcg,thread=multi,tb-size=128 -cpu max -m 1024 -smp 1" +
				" -drive if=none,id=disk0,format=raw,cache=unsafe,file=a,discard=unmap,throttling.iops-total=9,werror=stop" +
				" -device virtio-blk-pci,drive=disk0,serial=disk0,logical_block_size=4096,physical_block_size=4096 -serial mon:stdio",
		},
		{
			"network boot", Config{Accel: TCG, NICs: []NIC{{Boot: true}}},
			"-nographic -nodefaults -machine q35 -accel tcg,thread=multi,tb-size=128 -cpu max -m 1024 -smp 1" +
				" -device virtio-net-pci,netdev=netdev0,mac=0e:00:00:00:00:01,bootindex=0 -netdev user,id=netdev0,ipv4=on,net=10.0.2.0/24,ipv6=off -serial mon:stdio",
		},
		{
			"network boot by UEFI", Config{Accel: TCG, Firmware: UEFI{Code: "c", Vars: "v,w", SecureBoot: true}, NICs: []NIC{{Boot: true}}},
			"-nographic -nodefaults -machine q35 -accel tcg,thread=multi,tb-size=128 -cpu max -m 1024 -smp 1" +
				" -drive if=pflash,unit=0,format=raw,readonly=on,file=c -drive if=pflash,unit=1,format=raw,file=v,,w" +
				" -machine smm=on -global driver=cfi.pflash01,property=secure,value=on" +
				" -device virtio-net-pci,netdev=netdev0,mac=0e:00:00:00:00:01,romfile=,bootindex=0 -netdev user,id=netdev0,ipv4=on,net=10.0.2.0/24,ipv6=off -serial mon:stdio",
		},
		{
			"arm64", Config{Arch: ARM64, Accel: KVM, Disks: []Disk{{File: "a"}}},
			"-nographic -nodefaults -machine virt -accel tcg,thread=multi,tb-size=128 -cpu max -m 1024 -smp 1" +
				" -drive if=none,id=disk0,format=raw,cache=unsafe,file=a,discard=unmap -device ich9-ahci,id=ide -device ide-hd,bus=ide.0,drive=disk0,serial=disk0 -serial mon:stdio",
		},
		{
			"network", Config{Accel: TCG, NICs: []NIC{{}, {Model: "e1000e", Network: Restricted}, {Network: Silent, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}}}},
			"-nographic -nodefaults -machine q35 -accel tcg,thread=multi,tb-size=128 -cpu max -m 1024 -smp 1" +
				" -device virtio-net-pci,netdev=netdev0,mac=0e:00:00:00:00:01,romfile= -netdev user,id=netdev0,ipv4=on,net=10.0.2.0/24,ipv6=off" +
				" -device e1000e,netdev=netdev1,mac=0e:00:00:00:00:02,romfile= -netdev user,id=netdev1,ipv4=on,net=10.0.2.0/24,ipv6=off,restrict=on" +
				" -device virtio-net-pci,netdev=netdev2,mac=02:00:00:00:00:09,romfile= -netdev hubport,hubid=0,id=netdev2 -serial mon:stdio",
		},
	}
	// A command line can be made without the programs: not every machine has those for other architectures.
	dir := t.TempDir()
	for _, name := range []string{"qemu-system-x86_64", "qemu-system-aarch64"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd, err := tt.in.Command(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			program := map[string]string{"": "/qemu-system-x86_64 ", ARM64: "/qemu-system-aarch64 "}[tt.in.Arch]
			_, got, ok := strings.Cut(strings.Join(cmd.Args, " "), program)
			if !ok {
				t.Fatalf("Command() = %q, want %s in it", cmd.Args, program)
			}
			if diff := cmp.Diff(strings.Fields(tt.want), strings.Fields(got)); diff != "" {
				t.Errorf("Command() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNewestKernel(t *testing.T) {
	tests := []struct {
		name    string
		images  []string
		modules []string
		want    string // empty: an error
	}{
		{"numbers are numbers", []string{"6.1.0-9-amd64", "6.1.0-56-amd64"}, []string{"6.1.0-9-amd64", "6.1.0-56-amd64"}, "6.1.0-56-amd64"},
		{"general before cloud", []string{"6.1.0-56-amd64", "6.1.0-56-cloud-amd64"}, []string{"6.1.0-56-amd64", "6.1.0-56-cloud-amd64"}, "6.1.0-56-amd64"},
		{"a newer cloud", []string{"6.1.0-56-amd64", "6.1.0-57-cloud-amd64"}, []string{"6.1.0-56-amd64", "6.1.0-57-cloud-amd64"}, "6.1.0-57-cloud-amd64"},
		{"without modules", []string{"6.1.0-9-amd64", "6.1.0-56-amd64"}, []string{"6.1.0-9-amd64"}, "6.1.0-9-amd64"},
		{"none", nil, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			boot, modules := t.TempDir(), t.TempDir()
			for _, v := range tt.images {
				if err := os.WriteFile(filepath.Join(boot, "vmlinuz-"+v), nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for _, v := range tt.modules {
				if err := os.Mkdir(filepath.Join(modules, v), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(modules, v, "modules.dep"), nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want := Kernel{}
			if tt.want != "" {
				want = Kernel{Image: filepath.Join(boot, "vmlinuz-"+tt.want), Modules: filepath.Join(modules, tt.want)}
			}
			got, err := newestKernel(boot, modules)
			if got != want || (err != nil) != (tt.want == "") {
				t.Errorf("newestKernel(%q, %q) = %+v, %v, want %+v", tt.images, tt.modules, got, err, want)
			}
		})
	}
}

func TestPeakRSS(t *testing.T) {
	tests := []struct {
		name, in string
		want     int64 // 0: an error
	}{
		{"running", "Name:\tqemu\nVmPeak:\t   99 kB\nVmHWM:\t  2048 kB\nVmRSS:\t 1 kB\n", 2 << 20},
		{"a zombie", "Name:\tqemu\nState:\tZ (zombie)\n", 0},
		{"no number", "VmHWM:\t many kB\n", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := peakRSS(tt.in); got != tt.want || (err != nil) != (tt.want == 0) {
				t.Errorf("peakRSS(%q) = %d, %v, want %d", tt.in, got, err, tt.want)
			}
		})
	}
}
