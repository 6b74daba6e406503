package initramfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing/fstest"

	"github.com/liveboot/liveboot/pkg/cmdline"
	"github.com/liveboot/liveboot/pkg/plan"
)

// optionsFile is where the options lie that a build bakes in. Files of the
// site are read in the order of their names.
const optionsFile = "etc/cmdline.d/50-mkinitramfs.conf"

// bakeOptions adds the configured kernel options to the site's files and
// checks all options in the image: a mistake in one of ours would stop every
// machine that boots it.
func (b *builder) bakeOptions(site *archive) error {
	if b.config.Options != "" {
		if err := checkSyntax(b.config.Options); err != nil {
			return fmt.Errorf("-cmdline %q: %w", b.config.Options, err)
		}
		if _, ok := site.records[optionsFile]; ok {
			return fmt.Errorf("-cmdline: the site's files have /%s already; choose another name for it", optionsFile)
		}
		site.file(optionsFile, []byte(b.config.Options+"\n"), 0o644)
		b.manifest.Options = b.config.Options
	}
	line, err := bakedLine(site)
	if err != nil || len(line) == 0 {
		return err
	}
	p, err := plan.Parse(withImage(line))
	if err != nil {
		return fmt.Errorf("kernel options in the image: %w", err)
	}
	for _, warning := range p.Warnings {
		b.report("kernel options in the image: %s", warning)
	}
	return nil
}

// checkSyntax refuses what a file of options would silently ignore.
func checkSyntax(options string) error {
	switch {
	case strings.Count(options, `"`)%2 != 0:
		return errors.New(`a quote " is not closed`)
	case len(cmdline.Parse(options)) == 0:
		return errors.New("no option in it")
	case strings.HasPrefix(strings.TrimSpace(options), "#"):
		return errors.New("a line that begins with # is a comment")
	}
	for word := range strings.FieldsSeq(options) {
		if word == "--" {
			return errors.New("words for init, behind --, can only stand on the kernel's own line")
		}
	}
	return nil
}

// bakedLine is the options as the booting machine will read them out of the
// image.
func bakedLine(site *archive) (cmdline.Line, error) {
	root := fstest.MapFS{}
	for name, r := range site.records {
		if !strings.HasPrefix(name, "etc/cmdline") || r.ReaderAt == nil {
			continue
		}
		content, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
		if err != nil {
			return nil, err
		}
		root[name] = &fstest.MapFile{Data: content, Mode: fs.FileMode(r.Mode & 0o777)}
	}
	return cmdline.Load(root)
}

// withImage is the line with an image to boot, which an image's own options
// need not name.
func withImage(line cmdline.Line) cmdline.Line {
	for _, p := range line {
		if p.Key == "root" {
			return line
		}
	}
	return append(line, cmdline.Param{Key: "root", Value: "live:http://192.0.2.1/live.iso", HasValue: true})
}
