package module

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/fetch/decompress"
	"github.com/liveboot/liveboot/pkg/initrd"
)

// ArchiveSuffix is how the name of an archive ends that holds several modules: a cpio archive in the newc format, compressed. In the modules.dep of an
// image such a module has the path of the archive, and behind it its own in there: "packs/1.cpio.zst/kernel/drivers/net/mii.ko".
const ArchiveSuffix = ".cpio.zst"

// System is the Inserter of the running kernel. It keeps the archive that it read last, since a device and the bus that it is on have their drivers in the
// same one as a rule. It may be used by several goroutines at a time.
type System struct {
	mu      sync.Mutex
	archive string            // its file
	modules map[string][]byte // what it holds, by the path in it
}

// Insert calls finit_module(2), or, with what a compressed file or an archive unpacks to, init_module(2): few kernels unpack modules themselves
// (CONFIG_MODULE_DECOMPRESS).
func (s *System) Insert(file, parameters string) error {
	archive, member, archived := strings.Cut(file, ArchiveSuffix+"/")
	if archived {
		file = archive + ArchiveSuffix
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var image []byte
	switch {
	case archived:
		image, err = s.archived(f, member)
	case strings.HasSuffix(file, ".ko"):
		err = unix.FinitModule(int(f.Fd()), parameters, 0)
	default:
		image, err = unpacked(f)
	}
	if err == nil && image != nil {
		err = unix.InitModule(image, parameters)
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("insmod %s: %w", filepath.Join(file, member), err)
	}
	return nil
}

// archived returns a module of the archive in f.
func (s *System) archived(f *os.File, member string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.archive != f.Name() {
		modules, err := members(f)
		if err != nil {
			return nil, err
		}
		s.archive, s.modules = f.Name(), modules
	}
	image := s.modules[member]
	if image == nil {
		return nil, errors.New("the archive does not hold it")
	}
	return image, nil
}

// unpackedMax bounds what a file unpacks to, in bytes: none comes near it, and a damaged one may claim anything.
const unpackedMax = 256 << 20

// unpacked returns what a compressed module, by any of the formats that the kernel's build knows, unpacks to.
func unpacked(f io.Reader) ([]byte, error) {
	z, err := decompress.New(f, decompress.Options{Workers: 1})
	if err != nil {
		return nil, err
	}
	defer z.Close()
	image, err := io.ReadAll(io.LimitReader(z, unpackedMax+1))
	switch {
	case err != nil:
		return nil, err
	case len(image) == 0:
		return nil, errors.New("the file is empty")
	case len(image) > unpackedMax:
		return nil, fmt.Errorf("it unpacks to more than %d bytes", unpackedMax)
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
	err = initrd.Newc(bytes.NewReader(raw), func(entry initrd.File) (err error) {
		if entry.Mode.IsRegular() {
			files[entry.Name], err = io.ReadAll(entry.Content)
		}
		return err
	})
	return files, err
}
