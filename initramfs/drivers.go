package initramfs

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
			"drivers/net/thunderbolt-net", // a cable between two machines
			"drivers/thunderbolt/...",     // docks with network cards and disks
			"net/8021q/...",
			"net/bridge/bridge",
			"net/packet/af_packet",
			"net/ipv6/ipv6",
		}, []string{
			"drivers/net/ethernet/mellanox/mlxsw/...", // switches, not adapters
			"drivers/net/ethernet/microchip/sparx5/...",
			"drivers/net/ethernet/marvell/prestera/...",
			// Two generations before what sfc drives, and network processors that need firmware of their own to be a card.
			"drivers/net/ethernet/sfc/falcon/...",
			"drivers/net/ethernet/cavium/liquidio/...",
			"drivers/net/ethernet/netronome/...",
			// The iSCSI half of an adapter whose network half is bnx2.
			"drivers/net/ethernet/broadcom/cnic",
			// PC cards cannot be booted from.
			"drivers/net/ethernet/*/*_cs",
			"drivers/net/ethernet/dec/tulip/xircom_cb",
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
			// iSCSI and FCoE adapters, and targets, need configuration that
			// only the live system has. A disk behind Fibre Channel is rare as
			// a live system's own, and each of its drivers is 3 % of everything.
			"drivers/scsi/lpfc/...",
			"drivers/scsi/bfa/...",
			"drivers/scsi/csiostor/...",
			"drivers/scsi/fnic/...",
			"drivers/scsi/snic/...",
			"drivers/scsi/be2iscsi/...",
			"drivers/scsi/bnx2fc/...",
			"drivers/scsi/bnx2i/...",
			"drivers/scsi/cxgbi/...",
			"drivers/scsi/device_handler/...",
			"drivers/scsi/elx/...",
			"drivers/scsi/fcoe/...",
			"drivers/scsi/iscsi_boot_sysfs",
			"drivers/scsi/iscsi_tcp",
			"drivers/scsi/libfc/...",
			"drivers/scsi/libiscsi*",
			"drivers/scsi/qedf/...",
			"drivers/scsi/qedi/...",
			"drivers/scsi/qla2xxx/...",
			"drivers/scsi/qla4xxx/...",
			"drivers/scsi/scsi_transport_iscsi",
			"drivers/scsi/scsi_transport_srp",
			"drivers/scsi/pcmcia/...",
			// Parallel SCSI ended before this architecture became common. What
			// virtual machines emulate stays (BusLogic, sym53c8xx, am53c974,
			// mptspi), and so do the adapters that servers had.
			"drivers/scsi/a100u2w",
			"drivers/scsi/advansys",
			"drivers/scsi/atp870u",
			"drivers/scsi/dc395x",
			"drivers/scsi/dmx3191d",
			"drivers/scsi/initio",
			"drivers/scsi/qlogicfas408",
			"drivers/scsi/wd719x",
			"drivers/ata/pata_pcmcia",
			"drivers/ata/pata_legacy", // ISA
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
			"drivers/char/virtio_console", // console=hvc0
			// Serial lines of small machines, and USB adapters for them.
			"drivers/tty/serial/8250/...",
			"drivers/usb/serial/usbserial",
			"drivers/usb/serial/ftdi_sio",
			"drivers/usb/serial/pl2303",
			"drivers/usb/serial/cp210x",
			"drivers/usb/serial/ch341",
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

// screenRules are for a console on the screen where the firmware leaves no
// frame buffer that the kernel has a driver for built in: small drivers only.
func screenRules() (take, drop []string) {
	return []string{
		"drivers/gpu/drm/tiny/bochs",
		"drivers/gpu/drm/tiny/cirrus",
		"drivers/gpu/drm/tiny/ofdrm",
		"drivers/gpu/drm/tiny/simpledrm",
		"drivers/gpu/drm/ast/...", // servers' management controllers
		"drivers/gpu/drm/mgag200/...",
		"drivers/gpu/drm/hyperv/...",
		"drivers/gpu/drm/virtio/...",
		"drivers/video/fbdev/simplefb",
		"drivers/video/fbdev/efifb",
		"drivers/video/fbdev/vesafb",
		"drivers/video/fbdev/hyperv_fb",
		"drivers/video/fbdev/xen-fbfront",
	}, nil
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
			"crypto/af_alg",
			"crypto/algif_hash", // for processors without instructions for SHA-256
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

// pcDrivers has nothing to add: on a PC every device is found through PCI,
// USB or ACPI, by a driver of the other groups.
func pcDrivers() (take, drop []string) { return nil, nil }

// boardDrivers are for boards that are described by a device tree: a network
// card or a disk works there only when its clocks, resets, voltages and pins
// do.
func boardDrivers() (take, drop []string) {
	return []string{
			"drivers/bus/...",
			"drivers/clk/...",
			"drivers/dma/...",
			"drivers/firmware/...",
			"drivers/extcon/...",
			"drivers/gpio/...",
			"drivers/hwspinlock/...",
			"drivers/i2c/busses/...",
			"drivers/i2c/muxes/...",
			"drivers/interconnect/...",
			"drivers/iommu/...",
			"drivers/irqchip/...",
			"drivers/mailbox/...",
			"drivers/memory/...",
			"drivers/mfd/...",
			"drivers/net/dsa/...", // boards with a switch in front of their card
			"drivers/nvmem/...",
			"drivers/phy/...",
			"drivers/pmdomain/...",
			"drivers/pwm/...", // some regulators hang on one
			"drivers/regulator/...",
			"drivers/reset/...",
			"drivers/rpmsg/...",
			"drivers/rtc/...",
			"drivers/soc/...",
			"drivers/spmi/...",
			"drivers/usb/chipidea/...",
			"drivers/usb/dwc2/...",
			"drivers/usb/musb/...",
			"drivers/usb/phy/...",
			"drivers/input/keyboard/gpio_keys",
			"arch/*/crypto/ghash-*",
		}, []string{
			"drivers/bus/mhi/...", // modems and wireless cards
			"drivers/clk/meson/axg-audio",
			"drivers/dma/dmatest",
			"drivers/gpio/gpio-viperboard",
			"drivers/gpio/gpio-sim",
			"drivers/gpio/gpio-mockup",
		}
}
