package initramfs

import (
	"path"
	"slices"
	"strings"
)

// rule takes modules into the image, or keeps them out of it. Of all rules
// that match a module, the last one decides.
type rule struct {
	// pattern is for the path below lib/modules/<version>/kernel, without
	// ".ko": path.Match's syntax, and "/..." at the end stands for
	// everything below.
	pattern string
	drop    bool
}

// selection is the default choice of modules: every driver with which a
// machine can reach a wired network, a disk, a CD, a USB stick or a keyboard,
// the file systems and device-mapper targets that a boot can ask for, and the
// crypto those ask for by name. What they depend on is added by closure.
func selection() []rule {
	var rules []rule
	for _, group := range []func() ([]string, []string){
		networkRules, storageRules, usbRules, inputRules, platformRules, filesystemRules,
	} {
		take, drop := group()
		for _, p := range take {
			rules = append(rules, rule{pattern: p})
		}
		for _, p := range drop {
			rules = append(rules, rule{pattern: p, drop: true})
		}
	}
	return rules
}

func networkRules() (take, drop []string) {
	return []string{
			"drivers/net/ethernet/...",
			"drivers/net/phy/...", // found by the PHY's id, not by modules.dep
			"drivers/net/mdio/...",
			"drivers/net/pcs/...",
			"drivers/net/usb/...",
			"drivers/net/hyperv/...",
			"drivers/net/vmxnet3/...",
			"drivers/net/bonding/...",
			"drivers/net/virtio_net",
			"drivers/net/xen-netfront",
			"net/8021q/...",
			"net/bridge/bridge",
			"net/packet/af_packet",
			"net/ipv6/ipv6",
		}, []string{
			"drivers/net/ethernet/mellanox/mlxsw/...", // switches, not adapters
			"drivers/net/ethernet/microchip/sparx5/...",
			"drivers/net/ethernet/marvell/prestera/...",
			// Not what a machine boots from: accelerator cards that are
			// computers of their own, the iSCSI half of a network adapter,
			// adapters for PCI-X and of the first years of 1 and 10 Gbit/s,
			// and those of Sun's and Apple's own machines.
			"drivers/net/ethernet/cavium/liquidio/...",
			"drivers/net/ethernet/netronome/...",
			"drivers/net/ethernet/broadcom/cnic",
			"drivers/net/ethernet/adaptec/...",
			"drivers/net/ethernet/alteon/...",
			"drivers/net/ethernet/packetengines/...",
			"drivers/net/ethernet/sun/cassini",
			"drivers/net/ethernet/sun/sun*",
			"drivers/net/ethernet/chelsio/cxgb/...",
			"drivers/net/ethernet/chelsio/cxgb3/...",
			"drivers/net/ethernet/qlogic/netxen/...",
			"drivers/net/ethernet/sun/niu",
			"drivers/net/ethernet/intel/ixgb/...",
			"drivers/net/ethernet/neterion/...",
			"drivers/net/ethernet/sfc/falcon/...",
			"drivers/net/ethernet/tehuti/...",
			// PC cards cannot be booted from.
			"drivers/net/ethernet/*/*_cs",
			// Modems: no one boots an image of hundreds of MB from them.
			"drivers/net/usb/hso",
			"drivers/net/usb/sierra_net",
			"drivers/net/usb/qmi_wwan",
			"drivers/net/usb/cdc_mbim",
			"drivers/net/usb/cdc-phonet",
			"drivers/net/usb/huawei_cdc_ncm",
			"drivers/net/usb/lg-vl600",
			"drivers/net/usb/kalmia",
			"drivers/net/usb/cx82310_eth",
		}
}

func storageRules() (take, drop []string) {
	return []string{
			"drivers/ata/...",
			"drivers/nvme/host/nvme",
			"drivers/nvme/host/nvme-core",
			"drivers/scsi/...",
			"drivers/message/fusion/...",
			"drivers/block/brd",
			"drivers/block/loop",
			"drivers/block/nbd",
			"drivers/block/aoe/...",
			"drivers/block/virtio_blk",
			"drivers/block/xen-blkfront",
			"drivers/block/mtip32xx/...",
			"drivers/cdrom/...",
			"drivers/mmc/...",
			"drivers/misc/cardreader/...",
			"drivers/ufs/...",
			"drivers/firewire/firewire-ohci",
			"drivers/firewire/firewire-sbp2",
			"drivers/md/dm-mod",
			"drivers/md/dm-crypt",
			"drivers/md/dm-verity",
			"drivers/md/dm-snapshot",
			"drivers/pci/controller/...", // NVMe behind Intel VMD, disks behind Hyper-V
		}, []string{
			"drivers/message/fusion/mptctl",
			"drivers/message/fusion/mptlan",
			"drivers/message/fusion/mptfc",
			"drivers/mmc/core/mmc_test",
			"drivers/mmc/core/sdio_uart",
			"drivers/mmc/host/vub300",
			"drivers/mmc/host/*_cs",
			"drivers/scsi/scsi_debug",
			// Neither tapes, changers nor enclosures hold a live system.
			"drivers/scsi/st",
			"drivers/scsi/ch",
			"drivers/scsi/ses",
			"drivers/scsi/sg",
			"drivers/scsi/osst",
			// A storage network, by Fibre Channel, iSCSI or FCoE, needs
			// configuration that only the live system has, and its drivers
			// are a tenth of everything.
			"drivers/scsi/be2iscsi/...",
			"drivers/scsi/bfa/...",
			"drivers/scsi/bnx2fc/...",
			"drivers/scsi/bnx2i/...",
			"drivers/scsi/csiostor/...",
			"drivers/scsi/cxgbi/...",
			"drivers/scsi/device_handler/...",
			"drivers/scsi/elx/...",
			"drivers/scsi/fcoe/...",
			"drivers/scsi/fnic/...",
			"drivers/scsi/iscsi_boot_sysfs",
			"drivers/scsi/iscsi_tcp",
			"drivers/scsi/libfc/...",
			"drivers/scsi/libiscsi*",
			"drivers/scsi/lpfc/...",
			"drivers/scsi/qedf/...",
			"drivers/scsi/qedi/...",
			"drivers/scsi/qla2xxx/...",
			"drivers/scsi/qla4xxx/...",
			"drivers/scsi/scsi_transport_fc",
			"drivers/scsi/scsi_transport_iscsi",
			"drivers/scsi/scsi_transport_srp",
			"drivers/scsi/snic/...",
			// Parallel SCSI ended before this architecture became common.
			// What virtual machines emulate stays: BusLogic, sym53c8xx,
			// am53c974, mptspi.
			"drivers/scsi/a100u2w",
			"drivers/scsi/advansys",
			"drivers/scsi/aic7xxx/...",
			"drivers/scsi/atp870u",
			"drivers/scsi/dc395x",
			"drivers/scsi/dmx3191d",
			"drivers/scsi/initio",
			"drivers/scsi/ips",
			"drivers/scsi/myrb",
			"drivers/scsi/myrs",
			"drivers/scsi/pcmcia/...",
			"drivers/scsi/qla1280",
			"drivers/scsi/qlogicfas408",
			"drivers/scsi/wd719x",
			// Adapters of machines of other architectures.
			"drivers/scsi/ipr",
			"drivers/scsi/pmcraid",
			"drivers/ata/pata_pcmcia",
			"drivers/ata/pata_legacy", // ISA
			// PATA controllers from before this architecture.
			"drivers/ata/pata_artop",
			"drivers/ata/pata_atp867x",
			"drivers/ata/pata_cmd64x",
			"drivers/ata/pata_efar",
			"drivers/ata/pata_hpt366",
			"drivers/ata/pata_it8213",
			"drivers/ata/pata_mpiix",
			"drivers/ata/pata_netcell",
			"drivers/ata/pata_ninja32",
			"drivers/ata/pata_ns87410",
			"drivers/ata/pata_ns87415",
			"drivers/ata/pata_oldpiix",
			"drivers/ata/pata_pdc202xx_old",
			"drivers/ata/pata_piccolo",
			"drivers/ata/pata_rdc",
			"drivers/ata/pata_rz1000",
			"drivers/ata/pata_triflex",
		}
}

func usbRules() (take, drop []string) {
	return []string{
			"drivers/usb/host/...",
			"drivers/usb/dwc3/...",
			"drivers/usb/storage/...",
		}, []string{
			"drivers/usb/host/u132-hcd",
			"drivers/usb/host/*_cs",
			"drivers/usb/host/sl811-hcd",
			// Readers of memory cards from before SD, music players.
			"drivers/usb/storage/ums-alauda",
			"drivers/usb/storage/ums-datafab",
			"drivers/usb/storage/ums-eneub6250",
			"drivers/usb/storage/ums-jumpshot",
			"drivers/usb/storage/ums-karma",
			"drivers/usb/storage/ums-onetouch",
			"drivers/usb/storage/ums-sddr*",
			"drivers/usb/storage/ums-usbat",
		}
}

func inputRules() (take, drop []string) {
	return []string{
			"drivers/hid/hid",
			"drivers/hid/hid-generic",
			"drivers/hid/usbhid/usbhid",
			"drivers/hid/hid-hyperv",
			"drivers/hid/i2c-hid/...",
			// Keyboards that hid-generic leaves to a driver of their own.
			"drivers/hid/hid-apple",
			"drivers/hid/hid-cherry",
			"drivers/hid/hid-chicony",
			"drivers/hid/hid-corsair",
			"drivers/hid/hid-cypress",
			"drivers/hid/hid-gembird",
			"drivers/hid/hid-holtek-kbd",
			"drivers/hid/hid-ite",
			"drivers/hid/hid-kensington",
			"drivers/hid/hid-keytouch",
			"drivers/hid/hid-lenovo",
			"drivers/hid/hid-logitech",
			"drivers/hid/hid-logitech-dj",
			"drivers/hid/hid-logitech-hidpp",
			"drivers/hid/hid-microsoft",
			"drivers/hid/hid-monterey",
			"drivers/hid/hid-semitek",
			"drivers/hid/hid-sunplus",
			"drivers/hid/hid-topseed",
			"drivers/input/serio/...",
			"drivers/input/keyboard/atkbd",
			"drivers/input/keyboard/applespi",
			"drivers/virtio/virtio_input",
			"drivers/input/evdev",
		}, []string{
			"drivers/input/serio/serio_raw",
			"drivers/input/serio/serport",
			"drivers/input/serio/parkbd",
			"drivers/input/serio/altera_ps2",
			"drivers/input/serio/pcips2",
			"drivers/input/serio/ct82c710",
		}
}

func platformRules() (take, drop []string) {
	return []string{
			"drivers/virtio/virtio",
			"drivers/virtio/virtio_ring",
			"drivers/virtio/virtio_pci",
			"drivers/virtio/virtio_mmio",
			"drivers/hv/hv_vmbus",
			"drivers/hv/hv_utils", // orderly shutdown, asked for by the host
			"drivers/xen/xenbus/...",
			"drivers/acpi/button", // the power button
			// eMMC, keyboards and touch pads of small Intel and AMD machines
			// hang on these.
			"drivers/mfd/intel-lpss",
			"drivers/mfd/intel-lpss-acpi",
			"drivers/mfd/intel-lpss-pci",
			"drivers/i2c/busses/i2c-designware-*",
			"drivers/pinctrl/...",
			// What comes before the disks: RTC for the clock that TLS needs.
			"drivers/rtc/rtc-cmos",
		}, []string{
			"drivers/hv/hv_balloon",
		}
}

func filesystemRules() (take, drop []string) {
	return []string{
			"fs/squashfs/...",
			"fs/erofs/...",
			"fs/overlayfs/...",
			"fs/isofs/...",
			"fs/udf/...",
			"fs/ext4/ext4",
			"fs/xfs/xfs",
			"fs/btrfs/btrfs",
			"fs/fat/fat",
			"fs/fat/vfat",
			"fs/nls/nls_ascii",
			"fs/nls/nls_cp437",
			"fs/nls/nls_iso8859-1",
			"fs/nls/nls_utf8",
			// Asked for by name, by dm-crypt, dm-verity and the file systems.
			"crypto/aes_generic",
			"crypto/cbc",
			"crypto/crc32c_generic",
			"crypto/ecb",
			"crypto/essiv",
			"crypto/hmac",
			"crypto/sha1_generic",
			"crypto/sha256_generic",
			"crypto/sha512_generic",
			"crypto/xts",
			"crypto/xxhash_generic",
			"crypto/blake2b_generic",
			"arch/*/crypto/aesni-intel",
			"arch/*/crypto/aes-*",
			"arch/*/crypto/crc32*",
			"arch/*/crypto/crct10dif*",
			"arch/*/crypto/sha*",
		}, []string{
			"arch/*/crypto/*-pcbc*",
		}
}

// taken says whether the rules take a module; file is its path below
// lib/modules/<version>.
func taken(rules []rule, file string) bool {
	// Modules from elsewhere than the kernel's own tree (updates, extra,
	// weak-updates) replace one of the tree or add a driver that someone
	// wanted to have; where they would have been in the tree is not known.
	name, own := strings.CutPrefix(file, "kernel/")
	if !own {
		return false
	}
	name, _, _ = strings.Cut(name, ".ko")
	for _, r := range slices.Backward(rules) {
		if r.matches(name) {
			return !r.drop
		}
	}
	return false
}

func (r rule) matches(name string) bool {
	dir, all := strings.CutSuffix(r.pattern, "/...")
	if all {
		return strings.HasPrefix(name, dir+"/")
	}
	ok, err := path.Match(r.pattern, name)
	return err == nil && ok
}

// requirement is something without which no live system boots. Any one of
// its modules, or a built-in of one of these names, will do.
type requirement struct {
	module string
	why    string
}

func requirements() []requirement {
	return []requirement{
		{"brd", "the RAM disk that holds the image"},
		{"loop", "the root file system inside the image"},
		{"squashfs", "the live system's container"},
		{"overlay", "the writable layer"},
		{"isofs", "the image"},
		{"ext4", "the live system's root"},
	}
}
