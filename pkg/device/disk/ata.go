package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// An ataIdentity is what a disk says of itself when it is asked IDENTIFY DEVICE, a drive for discs IDENTIFY PACKET DEVICE.
type ataIdentity struct {
	model, serial string // as they stand there, with spaces
	wwn           uint64 // 0 if there is none
}

// ataPage is the length of the answer, ACS-3 7.12.
const ataPage = 512

// parseIdentify reads the answer of IDENTIFY (PACKET) DEVICE, ACS-3 7.12.7: a page of words, each little-endian, where the characters
// of a text are swapped in pairs.
func parseIdentify(page []byte) (ataIdentity, error) {
	if len(page) < ataPage {
		return ataIdentity{}, fmt.Errorf("identify data has %d bytes, not %d", len(page), ataPage)
	}
	page = page[:ataPage]
	words := func(from, n int) []byte {
		b := make([]byte, 0, 2*n)
		for i := from; i < from+n; i++ {
			b = append(b, page[2*i+1], page[2*i])
		}
		return b
	}
	id := ataIdentity{serial: text(words(10, 10)), model: text(words(27, 20))}
	// A name of another kind than 5 (IEEE registered) is reserved.
	if wwn := binary.BigEndian.Uint64(words(108, 4)); wwn>>60 == 5 {
		id.wwn = wwn
	}
	if word(id.model) == "" {
		return ataIdentity{}, errors.New("identify data names no model")
	}
	return id, nil
}

// ids are the names below disk/by-id, ata_id's.
func (a ataIdentity) ids() []string {
	name := "ata-" + word(a.model)
	if serial := word(a.serial); serial != "" {
		name += "_" + serial
	}
	if a.wwn == 0 {
		return []string{name}
	}
	return []string{name, fmt.Sprintf("wwn-0x%x", a.wwn)}
}

// Operation codes, SPC-4 and SAT-3.
const (
	opInquiry       = 0x12
	opATA16         = 0x85
	identifyDevice  = 0xec
	identifyPacket  = 0xa1
	ataReadProtocol = 4 << 1             // PIO data-in
	ataOneSector    = 0x08 | 0x04 | 0x02 // from the device, in blocks, as many as the count says
)

// ataInformation is the page of a SCSI device that stands for an ATA one (SAT-3 12.4.2); the answer of IDENTIFY is in it.
const (
	ataInformation       = "vpd_pg89"
	ataInformationOffset = 60
)

// identify asks an ATA device behind SCSI who it is. The kernel keeps the answer, except for what libata does not drive and for drives
// for discs.
func (p *prober) identify(dev node, path string, packet bool) (ataIdentity, error) {
	if page := dev.bytes(ataInformation); len(page) >= ataInformationOffset+ataPage {
		return parseIdentify(page[ataInformationOffset:])
	}
	command := byte(identifyDevice)
	if packet {
		command = identifyPacket
	}
	page := make([]byte, ataPage)
	cdb := [16]byte{0: opATA16, 1: ataReadProtocol, 2: ataOneSector, 6: 1, 14: command}
	if err := p.command(path, cdb[:], page); err != nil {
		return ataIdentity{}, err
	}
	return parseIdentify(page)
}
