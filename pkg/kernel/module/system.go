package module

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/fetch/decompress"
)

// System is the Inserter of the running kernel. It may be used by several goroutines at a time.
type System struct {
	mu       sync.Mutex
	archives []archive // the one that was read first in front
}

// Insert calls finit_module(2), or, with what a compressed file or an archive unpacks to, init_module(2): few kernels unpack modules themselves
// (CONFIG_MODULE_DECOMPRESS).
func (s *System) Insert(file, parameters string) error {
	archive, member := CutArchive(file)
	f, err := os.Open(cmp.Or(archive, file))
	if err != nil && archive != "" {
		return fmt.Errorf("insmod %s: %w", file, err)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var image []byte
	switch {
	case archive != "":
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
		return fmt.Errorf("insmod %s: %w", file, err)
	}
	return nil
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
