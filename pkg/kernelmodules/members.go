package kernelmodules

import (
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/liveboot/liveboot/pkg/initrd"
	"github.com/liveboot/liveboot/pkg/kernel/module"
)

// archiveMax bounds an archive, compressed, in bytes: ours have less than 1 MB.
const archiveMax = 64 << 20

// Members returns a function that hands on to f the modules in an archive of modules, in place of this, as if they lay in the folder lib/modules/<version>
// that it is in; any other file as it is. With it the initrds that this project makes read as those of others do.
func Members(f func(initrd.File) error) func(initrd.File) error {
	return func(file initrd.File) error {
		folder := path.Dir(file.Name)
		if path.Base(folder) != module.ArchiveFolder || !strings.HasSuffix(file.Name, module.ArchiveSuffix) || !file.Mode.IsRegular() {
			return f(file)
		}
		if file.Size > archiveMax {
			return fmt.Errorf("%s has %d bytes, an archive of modules may have %d", file.Name, file.Size, archiveMax)
		}
		b, err := io.ReadAll(file.Content)
		if err == nil {
			err = initrd.Read(b, func(member initrd.File) error {
				member.Name = path.Join(path.Dir(folder), member.Name)
				return f(member)
			})
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file.Name, err)
		}
		return nil
	}
}
