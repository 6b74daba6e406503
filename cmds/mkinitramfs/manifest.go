package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/liveboot/liveboot/pkg/stream/manifest"
)

// writeManifest writes the manifest of an image beside it, and says to out what to do with it.
func writeManifest(ctx context.Context, out io.Writer, image string) error {
	m, err := readImage(ctx, image)
	if err != nil {
		return err
	}
	name := image + manifest.Suffix
	size, err := save(name, m)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = fmt.Fprintf(out, `%s  %d bytes, for each %d KiB of the image a hash
%x  %s
Put both files beside each other on the server. To have each part verified before it is used, either sign the file of the hashes with
a key that the initrd has, by minisign as here, signify or gpg --detach-sign:
  minisign -S -s secret.key -m %[1]s
or have this on the kernel's line, for this image only:
rd.liveboot.chunks=%[6]v
`, name, size, m.ChunkSize>>10, m.Digest, image, m.Root())
	return err
}

// save writes a file that appears with all its content at once, so that no server hands out a part of it. It returns its size.
func save(name string, content io.WriterTo) (size int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return 0, err
	}
	size, err = content.WriteTo(f)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return 0, errors.Join(err, os.Remove(f.Name()))
	}
	return size, nil
}

// readImage makes the manifest of an image, and tells if that is written to meanwhile.
func readImage(ctx context.Context, image string) (*manifest.Manifest, error) {
	// What is no file may wait for ever when it is opened.
	if info, err := os.Stat(image); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", image, errNoFile)
	}
	f, err := os.Open(image)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was only read
	before, err := f.Stat()
	if err != nil {
		return nil, err
	}
	m, err := manifest.Build(untilDone{ctx, f}, manifest.ChunkFor(before.Size()))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", image, err)
	}
	after, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if m.Size != after.Size() || !before.ModTime().Equal(after.ModTime()) {
		return nil, fmt.Errorf("%s: %w", image, errWritten)
	}
	return m, nil
}

var (
	errNoFile  = errors.New("it is no file: the hashes of an image lie beside it, on the server")
	errWritten = errors.New("it was written to while it was read: try again when it is complete")
)

// untilDone reads a file until a context ends.
type untilDone struct {
	ctx context.Context
	fs.File
}

// Read implements io.Reader.
func (r untilDone) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.File.Read(p)
}
