package module

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/liveboot/liveboot/pkg/initrd"
)

// Archives of modules lie in a folder of their own in lib/modules/<version>: cpio archives in the newc format, compressed. In modules.dep a module in one has
// the path of the archive, and behind it its own in there: "packs/1.cpio.zst/kernel/drivers/net/mii.ko".
const (
	ArchiveFolder = "packs"
	ArchiveSuffix = ".cpio.zst"
)

// CutArchive splits the path of a module in an archive into that of the archive and that in it. Of all others archive is empty.
func CutArchive(file string) (archive, member string) {
	if archive, member, ok := strings.Cut(file, ArchiveSuffix+"/"); ok {
		return archive + ArchiveSuffix, member
	}
	return "", file
}

// archivesKept is how many archives are kept, unpacked. The drivers of a machine lie in a few, and are loaded beside each other.
const archivesKept = 4

// archive is one that was unpacked.
type archive struct {
	file    string
	modules map[string][]byte // by their paths in it
}

// archived returns a module of the archive in f.
func (s *System) archived(f *os.File, member string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.archives, func(a archive) bool { return a.file == f.Name() })
	if i < 0 {
		modules, err := members(f)
		if err != nil {
			return nil, err
		}
		if len(s.archives) == archivesKept {
			s.archives = slices.Delete(s.archives, 0, 1)
		}
		i = len(s.archives)
		s.archives = append(s.archives, archive{f.Name(), modules})
	}
	image := s.archives[i].modules[member]
	if image == nil {
		return nil, errors.New("the archive does not hold it: build the initrd again")
	}
	return image, nil
}

// members returns the files of an archive by their paths.
func members(f io.Reader) (map[string][]byte, error) {
	raw, err := unpacked(f)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	err = initrd.Newc(bytes.NewReader(raw), func(entry initrd.File) error {
		if !entry.Mode.IsRegular() {
			return nil
		}
		if entry.Size > int64(len(raw)) {
			return fmt.Errorf("%s: %w", entry.Name, io.ErrUnexpectedEOF)
		}
		b := make([]byte, entry.Size)
		_, err := io.ReadFull(entry.Content, b)
		files[entry.Name] = b
		return err
	})
	return files, err
}
