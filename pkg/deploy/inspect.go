package deploy

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/partition"
	"github.com/liveboot/liveboot/pkg/probe"
)

// A State is what a disk is good for.
type State int

const (
	// Blank: it holds nothing that is known.
	Blank State = iota
	// Interrupted: an image was being written to it.
	Interrupted
	// Complete: it holds a live image.
	Complete
	// Foreign: it holds something else, which only Spec.Reset overwrites.
	Foreign
	// Damaged: it holds a live image that is not sound, with a writable layer that may hold somebody's work.
	Damaged
)

// A Finding is what an inspection found.
type Finding struct {
	State State
	// What tells it to people: of a foreign disk all that is on it.
	What string
	// Image is there if it is complete.
	Image *Image
}

// An Image is a complete live image on a disk.
type Image struct {
	// Length is that of the image in bytes; for one that we did not deploy, what its tables tell.
	Length   int64
	VolumeID string
	// Record is that of the deployment; nil if it was not ours.
	Record *Record
	// ISO is the partition that can be mounted as the ISO, nil if there is none: the disk's first volume descriptor is repeated in it.
	ISO *partition.Entry
	// Layer is the partition with the writable layer, nil if there is none, and LayerFS its file system.
	Layer   *partition.Entry
	LayerFS string
	// TableProblem says what is wrong with the disk's partition table, nil if nothing is. The kernel may then show no partitions.
	TableProblem error
	// Behind tells to people what is in the partitions behind the image, the layer excepted; empty if there are none.
	Behind string
}

// Inspect finds out what is on the disk r, by reading. container is the path of the live system's container in the ISO.
func Inspect(r io.ReaderAt, d partition.Disk, container string) (Finding, error) {
	noting := &notingReader{ReaderAt: r}
	f, err := inspect(noting, d, container)
	// What could not be read is not missing: a disk with a bad sector is not to be taken for one that lacks something.
	if err = cmp.Or(noting.err, err); err != nil {
		return Finding{}, fmt.Errorf("inspect the disk: %w", err)
	}
	return f, nil
}

// A notingReader keeps the first error of the device itself.
type notingReader struct {
	io.ReaderAt
	err error
}

// ReadAt implements io.ReaderAt.
func (r *notingReader) ReadAt(p []byte, offset int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, offset)
	if err != nil && !errors.Is(err, io.EOF) && r.err == nil {
		r.err = fmt.Errorf("read at byte %d: %w", offset, err)
	}
	return n, err
}

func inspect(r io.ReaderAt, d partition.Disk, container string) (Finding, error) {
	first := make([]byte, d.SectorSize)
	if _, err := r.ReadAt(first, 0); err != nil {
		return Finding{}, fmt.Errorf("read its first sector: %w", err)
	}
	contents, err := probe.Identify(r, d.Size, d.SectorSize)
	if err != nil {
		return Finding{}, err
	}
	table, err := partition.Read(r, d)
	if err != nil {
		return Finding{}, err
	}
	l := look{r: r, disk: d, contents: contents, table: table}
	image, err := iso.Open(r)
	switch {
	// Who partitions the disk, or makes something else of it, may leave the text of the mark where boot code goes.
	case isMark(first) && l.onlyISO(d.Size):
		return Finding{State: Interrupted, What: "an interrupted deployment"}, nil
	case errors.Is(err, iso.ErrNotISO):
		if len(contents) == 0 {
			return Finding{State: Blank, What: "nothing"}, nil
		}
		return l.foreign(), nil
	case err != nil:
		return Finding{}, err
	}
	return l.iso(image, container, bytes.Count(first, []byte{0}) == len(first))
}

// look is what is known of a disk.
type look struct {
	r        io.ReaderAt
	disk     partition.Disk
	contents []probe.Content
	table    *partition.Table
}

// iso judges a disk that begins like an ISO; unbootable tells that its first sector is empty.
func (l look) iso(image *iso.Image, container string, unbootable bool) (Finding, error) {
	layer, layerFS, err := l.layer()
	if err != nil {
		return Finding{}, err
	}
	record, err := findRecord(l.r, l.disk.Size, l.ends(image.Size))
	if err != nil {
		return Finding{}, err
	}
	if record != nil && (record.Volume != image.Size || record.VolumeID != image.VolumeID) {
		record = nil // of an earlier image
	}
	if l.stale(layer) {
		return l.foreign(), nil
	}
	offset, size, err := image.Find(container)
	if errors.Is(err, fs.ErrNotExist) && l.hasRoot() {
		return Finding{State: Foreign, What: fmt.Sprintf("%v (an ISO without %s)", l, container)}, nil
	}
	broken := err
	if broken == nil {
		broken = checkContainer(l.r, l.disk.Size, offset, size)
	}
	unfinished := false
	if broken == nil && image.Size > l.disk.Size {
		broken = fmt.Errorf("it has %d bytes, the disk %d", image.Size, l.disk.Size)
	}
	if broken == nil && unbootable && (record == nil || !record.Unbootable) {
		// It is written last, so nobody can have worked with what is beside it.
		broken, unfinished = errors.New("its boot sector is missing"), true
	}
	switch {
	case broken == nil:
		length := l.length(image.Size, layer)
		if record != nil {
			length = record.Length
		}
		return Finding{State: Complete, What: l.String(), Image: &Image{
			Length: length, VolumeID: image.VolumeID, Record: record, ISO: l.mountable(image.VolumeID), Layer: layer, LayerFS: layerFS,
			TableProblem: l.table.Problem, Behind: l.behind(image.Size, layer),
		}}, nil
	case layer != nil:
		return Finding{State: Damaged, What: fmt.Sprintf("the live image %q, but %v; beside it is a writable layer with somebody's work (partition %d)", image.VolumeID, broken, layer.Number)}, nil
	case record != nil && !unfinished: // it was finished once
		return Finding{State: Damaged, What: fmt.Sprintf("the live image %q, but %v", image.VolumeID, broken)}, nil
	case !l.onlyISO(image.Size):
		return l.foreign(), nil
	}
	return Finding{State: Interrupted, What: fmt.Sprintf("an interrupted deployment of %q: %v", image.VolumeID, broken)}, nil
}

// isMark reports whether a sector is the mark of a deployment, and nothing else.
func isMark(sector []byte) bool {
	rest, ok := bytes.CutPrefix(sector, []byte(mark))
	return ok && bytes.Count(rest, []byte{0}) == len(rest)
}

// stale reports whether the ISO is what was left of it below something newer: a table that has no place for it, or what makes the disk a member
// of an array, a volume group or a pool, or encrypts it. The table of an ISO that brought none has the layer alone.
func (l look) stale(layer *partition.Entry) bool {
	for _, c := range l.contents {
		switch {
		case c.State != probe.Intact:
		case c.Kind == probe.KindMember, c.Kind == probe.KindEncrypted:
			return true
		case c.Kind == probe.KindPartitionTable && (layer == nil || len(l.table.Entries) > 1):
			return true // what covers the ISO with a partition comes behind it, see probe.Identify
		case c.Name == "iso9660":
			return false
		}
	}
	return true
}

// ends are the places where the image may end: where its volume does, and the partitions that belong to it.
func (l look) ends(volume int64) []int64 {
	ends := []int64{volume}
	for _, e := range l.table.Entries {
		if end := e.End(); end > volume {
			ends = append(ends, end)
		}
	}
	return ends
}

// length returns how long an image is of which there is no record: up to the last partition that is not the layer.
func (l look) length(volume int64, layer *partition.Entry) int64 {
	length, table := volume, l.table
	if l.disk.SectorSize != isoSector {
		// Its own table counts in the sectors of an ISO's.
		own, err := partition.Read(l.r, partition.Disk{Size: l.disk.Size, SectorSize: isoSector})
		if err != nil {
			return length
		}
		table, layer = own, nil
	}
	for _, e := range table.Entries {
		if layer == nil || e.Number != layer.Number {
			length = max(length, e.End())
		}
	}
	return min(length, l.disk.Size)
}

// onlyISO reports whether all that was found can be a piece of an ISO of so many bytes.
func (l look) onlyISO(volume int64) bool {
	for _, c := range l.contents {
		switch c.Name {
		case "iso9660", "MBR", "protective MBR", "GPT", "udf", "hfs", "hfsplus", "Apple partition map": // hybrid ISOs have all of them
		default:
			return false
		}
	}
	for _, e := range l.table.Entries {
		if e.End() > volume+searched {
			return false
		}
	}
	return true
}

// hasRoot reports whether the root directory of the ISO is there: its first record is that of itself (ECMA-119, section 9.1).
func (l look) hasRoot() bool {
	const place = 16*iso.SectorSize + 156 + 2 // location of the extent in the root's record in the volume descriptor
	b := make([]byte, 4)
	if _, err := l.r.ReadAt(b, place); err != nil {
		return false
	}
	record := make([]byte, 34)
	if _, err := l.r.ReadAt(record, int64(binary.LittleEndian.Uint32(b))*iso.SectorSize); err != nil {
		return false
	}
	return record[0] >= 34 && record[32] == 1 && record[33] == 0
}

// mountable returns the partition that shows the ISO once more.
func (l look) mountable(volumeID string) *partition.Entry {
	for _, e := range l.table.Entries {
		image, err := iso.Open(io.NewSectionReader(l.r, e.Start, e.Size))
		if err == nil && image.VolumeID == volumeID && image.Size <= e.Size {
			return &e
		}
	}
	return nil
}

// layer returns the partition with the writable layer, and its file system.
func (l look) layer() (*partition.Entry, string, error) {
	for _, e := range l.table.Entries {
		contents, err := l.inside(e)
		if err != nil {
			return nil, "", err
		}
		for _, c := range contents {
			if c.Kind != probe.KindFileSystem || c.Label != LayerLabel {
				continue
			}
			// The kernel's name: that of ext4 for what came before it.
			if kind, err := probe.FileSystem(io.NewSectionReader(l.r, e.Start, e.Size)); err == nil {
				return &e, kind, nil
			}
		}
	}
	return nil, "", nil
}

func (l look) inside(e partition.Entry) ([]probe.Content, error) {
	if e.Start >= l.disk.Size {
		return nil, nil // it was made for a larger disk
	}
	size := min(e.Size, l.disk.Size-e.Start)
	contents, err := probe.Identify(io.NewSectionReader(l.r, e.Start, size), size, l.disk.SectorSize)
	if err != nil {
		return nil, fmt.Errorf("partition %d: %w", e.Number, err)
	}
	return contents, nil
}

func (l look) foreign() Finding { return Finding{State: Foreign, What: l.String()} }

// String names all that was found.
func (l look) String() string {
	var words []string
	for _, c := range l.contents {
		words = append(words, c.String())
	}
	for _, e := range l.table.Entries {
		words = append(words, l.describe(e))
	}
	return strings.Join(words, ", ")
}

// describe names a partition, and the first thing that is found in it.
func (l look) describe(e partition.Entry) string {
	contents, err := l.inside(e)
	if err != nil || len(contents) == 0 {
		return fmt.Sprintf("partition %d", e.Number)
	}
	return fmt.Sprintf("partition %d: %v", e.Number, contents[0])
}

// behind names the partitions behind an ISO of so many bytes that are not the layer.
func (l look) behind(volume int64, layer *partition.Entry) string {
	var words []string
	for _, e := range l.table.Entries {
		if e.Start >= volume && (layer == nil || e.Number != layer.Number) {
			words = append(words, l.describe(e))
		}
	}
	return strings.Join(words, ", ")
}

// isoSector is the size in bytes of the sectors in which the partition tables of ISOs count.
const isoSector = 512

// checkContainer makes sure that the live system's container, of so many bytes on a disk of disk bytes, is whole: a squashfs has its tables at its
// end (fs/squashfs/squashfs_fs.h: bytes used at 40, the table of owners, whose index is one of the last things, at 48).
func checkContainer(r io.ReaderAt, disk, offset, size int64) error {
	if offset+size > disk {
		return errors.New("the disk ends before its container")
	}
	super := make([]byte, 96)
	if _, err := r.ReadAt(super, offset); err != nil {
		return err
	}
	if string(super[:4]) != "hsqs" {
		if _, err := probe.FileSystem(io.NewSectionReader(r, offset, size)); err != nil {
			return fmt.Errorf("its container: %w", err)
		}
		return checkEnd(r, offset, size)
	}
	used, owners := binary.LittleEndian.Uint64(super[40:]), binary.LittleEndian.Uint64(super[48:])
	if used > uint64(size) || owners > used-8 {
		return errors.New("its container is longer than its file")
	}
	index := make([]byte, 8)
	if _, err := r.ReadAt(index, offset+int64(owners)); err != nil {
		return err
	}
	if at := binary.LittleEndian.Uint64(index); at == 0 || at >= owners {
		return errors.New("the tables at the end of its container are missing")
	}
	return nil
}

// checkEnd makes sure that something was written where a container ends that has no tables there: an erofs is filled to its last block.
func checkEnd(r io.ReaderAt, offset, size int64) error {
	block := make([]byte, min(size, 4096))
	if _, err := r.ReadAt(block, offset+size-int64(len(block))); err != nil {
		return err
	}
	if bytes.Count(block, []byte{0}) == len(block) {
		return errors.New("the end of its container is empty")
	}
	return nil
}
