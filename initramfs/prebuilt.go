package initramfs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// prebuiltFile describes a folder of compiled commands. It is written last, so where it is the others are.
const prebuiltFile = "prebuilt.json"

// prebuilt is the content of that file: what was compiled, from what.
type prebuilt struct {
	Version   string    `json:"version"`            // of liveboot
	Committed time.Time `json:"committed,omitzero"` // the source
	Go        string    `json:"go"`                 // version of the toolchain
	Init      string    `json:"init"`               // Go package of process 1
	Commands  []string  `json:"commands"`           // Go packages, with that of process 1
	Archs     []string  `json:"archs"`              // as Go names them
}

// archiveFile is the name of the commands of one architecture: a cpio, compressed.
func archiveFile(goarch string) string { return "commands-" + goarch + ".cpio.zst" }

// Prebuild compiles the commands for every architecture, or for c.Arch only, and writes them into the output folder. With that
// as Config.Prebuilt a build needs neither Go nor the source. The same source and toolchain give the same bytes.
func Prebuild(ctx context.Context, c Config) error {
	if err := prebuild(ctx, c); err != nil {
		return fmt.Errorf("compile the commands of the image beforehand: %w", err)
	}
	return nil
}

func prebuild(ctx context.Context, c Config) error {
	c = c.withDefaults()
	chosen := archs()
	if c.Arch != "" {
		a, err := archFor(c.Arch)
		if err != nil {
			return err
		}
		chosen = []arch{a}
	}
	commands, err := newCommandSet(c.Init, c.Commands)
	if err != nil {
		return err
	}
	source, err := FindSource(c.Source)
	if err != nil {
		return err
	}
	tools, err := findToolchain(ctx, source)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Output, 0o777); err != nil {
		return err
	}
	p := prebuilt{Version: c.Version, Committed: c.Committed.UTC(), Go: tools.GOVERSION, Init: c.Init, Commands: commands.packages}
	for _, a := range chosen {
		b := &builder{config: c, arch: a}
		if err := b.prebuild(ctx, source, tools, commands); err != nil {
			return err
		}
		p.Archs = append(p.Archs, a.goarch)
	}
	about, err := marshal(p)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(c.Output, prebuiltFile), 0o644, about)
}

// prebuild writes the archive of one architecture.
func (b *builder) prebuild(ctx context.Context, source string, tools toolchain, commands commandSet) error {
	var err error
	if b.cache, err = cacheOf(b.config); err != nil {
		return err
	}
	if b.compressor, err = compressorFor(ctx, Zstd); err != nil {
		return err
	}
	a, err := b.compiled(ctx, source, tools, commands)
	if err != nil {
		return err
	}
	raw, err := a.bytes()
	if err != nil {
		return err
	}
	packed, err := b.compress(ctx, segment{name: "commands for " + b.arch.goarch, raw: raw})
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(b.config.Output, archiveFile(b.arch.goarch)), 0o644, packed)
}

// readPrebuilt reads what is said about a folder of compiled commands.
func readPrebuilt(folder string) (*prebuilt, error) {
	b, err := os.ReadFile(filepath.Join(folder, prebuiltFile))
	if err != nil {
		return nil, fmt.Errorf("read the compiled commands: %w", err)
	}
	p := &prebuilt{}
	if err := json.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("read the compiled commands: %s: %w", filepath.Join(folder, prebuiltFile), err)
	}
	return p, nil
}

// describe fills in of a configuration what the compiled commands decide, and refuses what they cannot fulfil.
func (p *prebuilt) describe(c Config) (Config, error) {
	if c.Init != "" && c.Init != p.Init || c.Commands != nil && !p.has(c.Commands) {
		return c, errors.New("other commands than those that were compiled beforehand need Go and the source of liveboot, named by -source")
	}
	c.Version, c.Init, c.Commands = cmp.Or(c.Version, p.Version), p.Init, p.Commands
	if c.Committed.IsZero() {
		c.Committed = p.Committed
	}
	return c, nil
}

// has says whether a set of commands is the compiled one.
func (p *prebuilt) has(commands []string) bool {
	set, err := newCommandSet(p.Init, commands)
	return err == nil && slices.Equal(set.packages, p.Commands)
}

// archive reads the commands for an architecture.
func (p *prebuilt) archive(folder string, a arch) (*archive, error) {
	if !slices.Contains(p.Archs, a.goarch) {
		return nil, fmt.Errorf("the commands were compiled for %s only, not for %s", strings.Join(p.Archs, " and "), a.goarch)
	}
	raw, err := readFile(os.DirFS(folder), archiveFile(a.goarch))
	if err == nil {
		raw, err = decompress(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("read the compiled commands: %w", err)
	}
	return readArchive(raw)
}

// FindPrebuilt is the folder of compiled commands that belongs to a program: ../lib/liveboot beside the program's own folder, as
// installing lays it out. Empty: there is none, so what is built is compiled.
func FindPrebuilt(program string) (string, error) {
	folder := filepath.Join(filepath.Dir(program), "..", "lib", "liveboot")
	switch _, err := os.Stat(filepath.Join(folder, prebuiltFile)); {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("find the compiled commands: %w", err)
	}
	return folder, nil
}
