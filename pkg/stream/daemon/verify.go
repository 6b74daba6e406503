package daemon

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/stream"
	"github.com/liveboot/liveboot/pkg/stream/manifest"
)

// least is the memory in bytes that chunks may take however little the machine has: with large ones fewer are fetched at a time.
const least = 48 << 20

// verified has every chunk verified, where there is a manifest, and the whole image compared with the manifest's digest where no other is
// known. The chunks of the manifest may be smaller than what is fetched at a time.
func (d *daemon) verified(c *stream.Config) error {
	if len(d.job.Chunks) == 0 {
		return nil
	}
	m, err := manifest.Parse(d.job.Chunks)
	if err != nil {
		return err
	}
	d.job.Chunks = nil // it is in memory once more
	if m.Size != c.Size {
		return fmt.Errorf("the manifest is of an image of %d bytes, and the server's has %d: make the manifest anew", m.Size, c.Size)
	}
	own := fetch.Digest{Algorithm: "sha256", Hex: hex.EncodeToString(m.Digest[:])}
	switch want := d.job.Source.Digest; {
	case want == fetch.Digest{}:
		d.job.Source.Digest = own
	case want.Algorithm == own.Algorithm && want != own:
		return fmt.Errorf("the manifest is of an image with the %s %s, and the image's should be %s: make the manifest anew, or the digest",
			own.Algorithm, own.Hex, want.Hex)
	}
	c.ChunkSize = max(m.ChunkSize, cmp.Or(c.ChunkSize, stream.DefaultChunkSize))
	if c.ChunkSize%m.ChunkSize != 0 {
		return fmt.Errorf("fetch chunks of %d bytes: the manifest has chunks of %d", c.ChunkSize, m.ChunkSize)
	}
	many := int(c.ChunkSize / m.ChunkSize)
	c.Verify = func(index int, chunk []byte) error {
		for i := index * many; len(chunk) > 0; i++ {
			part := chunk[:min(int64(len(chunk)), m.ChunkSize)]
			if err := m.Verify(i, part); err != nil {
				return err
			}
			chunk = chunk[len(part):]
		}
		return nil
	}
	return nil
}

// fewer bounds how many chunks are fetched at a time, so that those that are in somebody's hand fit into least: of each connection there
// may be two, and one is read from.
func fewer(c *stream.Config) {
	size := cmp.Or(c.ChunkSize, stream.DefaultChunkSize)
	most := max((least/size-1)/2, 1)
	c.Connections = min(cmp.Or(c.Connections, stream.DefaultConnections), int(most))
}

// check compares the image with its digest, where one is known.
func (d *daemon) check(ctx context.Context, store *stream.Store) error {
	want := d.job.Source.Digest
	var h hash.Hash
	switch want.Algorithm {
	case "":
		return nil
	case "sha256":
		h = sha256.New()
	case "sha512":
		h = sha512.New()
	default:
		return fmt.Errorf("compare the image with %v: not one of sha256, sha512", want)
	}
	if err := store.Hash(ctx, h); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want.Hex {
		return &fetch.DigestError{Want: want, Got: fetch.Digest{Algorithm: want.Algorithm, Hex: got}}
	}
	return nil
}
