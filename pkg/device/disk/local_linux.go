package disk

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Local returns the devices of this machine.
func Local() System { return System{Sys: os.DirFS("/sys"), Open: open, Command: command} }

// open opens a device without waiting for a medium, and without closing the tray of a drive that somebody has just opened.
func open(path string) (Reader, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if errors.Is(err, unix.ENOMEDIUM) {
		return nil, fmt.Errorf("open %s: %w", path, ErrNoMedium)
	}
	if err != nil {
		return nil, err
	}
	if !hasMedium(f) {
		f.Close()
		return nil, fmt.Errorf("open %s: %w", path, ErrNoMedium)
	}
	return f, nil
}

// Of linux/cdrom.h: the question, the slot of a drive without any, and the answers from "there is no disc" to "it is not ready".
const (
	cdromDriveStatus = 0x5326
	cdslCurrent      = 1<<31 - 1
	cdsNoDisc        = 1
	cdsNotReady      = 3
)

// hasMedium says whether a drive for discs has one that can be read. Other devices do not know the question.
func hasMedium(f *os.File) bool {
	status, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), cdromDriveStatus, cdslCurrent)
	return errno != 0 || status < cdsNoDisc || status > cdsNotReady
}

// sgHeader is struct sg_io_hdr of scsi/sg.h.
type sgHeader struct {
	interfaceID    int32
	direction      int32
	cdbLength      uint8
	senseLength    uint8
	iovecCount     uint16
	dataLength     uint32
	data           unsafe.Pointer
	cdb            unsafe.Pointer
	sense          unsafe.Pointer
	timeout        uint32 // in ms
	flags          uint32
	packID         int32
	user           unsafe.Pointer
	status         uint8
	maskedStatus   uint8
	messageStatus  uint8
	senseWritten   uint8
	hostStatus     uint16
	driverStatus   uint16
	residual       int32
	duration, info uint32
}

// Of scsi/sg.h.
const (
	sgIO          = 0x2285
	sgFromDevice  = -3
	sgTimeout     = 10_000
	sgSenseLength = 32
)

// command sends a command to a SCSI device with SG_IO.
func command(path string, cdb, data []byte) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var sense [sgSenseLength]byte
	h := sgHeader{
		interfaceID: 'S', direction: sgFromDevice, timeout: sgTimeout,
		cdbLength: uint8(len(cdb)), cdb: unsafe.Pointer(unsafe.SliceData(cdb)),
		dataLength: uint32(len(data)), data: unsafe.Pointer(unsafe.SliceData(data)),
		senseLength: sgSenseLength, sense: unsafe.Pointer(&sense),
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	for _, p := range []unsafe.Pointer{h.cdb, h.data, h.sense} {
		pins.Pin(p)
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), sgIO, uintptr(unsafe.Pointer(&h))); errno != 0 {
		return fmt.Errorf("send command %#02x to %s: %w", cdb[0], path, errno)
	}
	if h.status != 0 || h.hostStatus != 0 || h.driverStatus != 0 {
		return fmt.Errorf("command %#02x to %s: refused with status %#x, host %#x, driver %#x",
			cdb[0], path, h.status, h.hostStatus, h.driverStatus)
	}
	return nil
}
