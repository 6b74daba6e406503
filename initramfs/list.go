package initramfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// List says which modules and which firmware Build would put into the image,
// and why. It compiles, compresses and writes nothing.
func List(ctx context.Context, c Config) (*Manifest, error) {
	m, err := list(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("list drivers: %w", err)
	}
	return m, nil
}

func list(ctx context.Context, c Config) (m *Manifest, err error) {
	b, err := prepare(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.kernel.close()) }()
	if _, err := b.moduleArchive(nil); err != nil {
		return nil, err
	}
	if _, err := b.firmware(ctx); err != nil {
		return nil, err
	}
	return b.manifest, nil
}

// WriteList writes the modules and the firmware for people, one a line, the
// largest first, with what brought them in.
func (m *Manifest) WriteList(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var total int64
	for _, module := range slices.SortedFunc(slices.Values(m.Modules), func(a, b Module) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), strings.Compare(a.Path, b.Path))
	}) {
		fmt.Fprintf(t, "%10d\t%s\t%s\t%s\n", module.Bytes, module.Name, module.Path, module.Why)
		total += module.Bytes
	}
	fmt.Fprintf(t, "%10d\t%d modules of kernel %s\n", total, len(m.Modules), m.Kernel)
	total = 0
	for _, f := range slices.SortedFunc(slices.Values(m.Firmware), func(a, b Firmware) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), strings.Compare(a.Path, b.Path))
	}) {
		what := "firmware"
		if f.Link != "" {
			what = "link to " + f.Link
		}
		fmt.Fprintf(t, "%10d\t%s\t%s\tnamed by %s\n", f.Bytes, f.Path, what, strings.Join(f.For, ", "))
		total += f.Bytes
	}
	fmt.Fprintf(t, "%10d\t%d firmware files\n", total, len(m.Firmware))
	for _, f := range m.Missing {
		fmt.Fprintf(t, "%10s\t%s\tmissing firmware\tnamed by %s\n", "-", f.Path, strings.Join(f.For, ", "))
	}
	return t.Flush()
}

// FirmwareLine is what people should know about the firmware, in a sentence;
// empty where it was left out.
func (m *Manifest) FirmwareLine() string {
	if len(m.Firmware)+len(m.Missing) == 0 {
		return ""
	}
	var bytes int64
	for _, f := range m.Firmware {
		bytes += f.Bytes
	}
	line := fmt.Sprintf("%d firmware files, %s", len(m.Firmware), megabytes(bytes))
	if n := len(m.Missing); n > 0 {
		line += fmt.Sprintf("; %d that drivers name are not there (-list shows them)", n)
	}
	return line
}
