package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/kernel/memory"
	"github.com/liveboot/liveboot/pkg/live"
	"github.com/liveboot/liveboot/pkg/plan"
	"github.com/liveboot/liveboot/pkg/stream/daemon"
	"github.com/liveboot/liveboot/pkg/stream/manifest"
	"github.com/liveboot/liveboot/pkg/target"
)

// A Streaming is the process that streams an image; *daemon.Process is one.
type Streaming interface {
	Receive() (daemon.Message, error)
	Send(daemon.Command) error
	Close() error
	Kill() error
}

const (
	// streamed is the device mapper's name of the device that the live system is mounted from.
	streamed = "liveboot-image"
	// streamBuffers is the memory that the streaming process takes beside the RAM disk, in bytes.
	streamBuffers = 48 << 20
	// longDownload is from when on a download takes so long that auto streams instead.
	longDownload = 20 * time.Second
)

// remote is an image that can be streamed.
type remote struct {
	*fetch.Ranges
	source fetch.Source
	// chunks is its manifest, nil for none.
	chunks *chunks
	// digest of the whole, which is compared when all is there; the zero Digest if none is known.
	digest fetch.Digest
	// lazy tells that it is never to be there as a whole.
	lazy bool
}

// chunks is a manifest, and the file that it was read from.
type chunks struct {
	*manifest.Manifest
	file []byte
}

// listed is the digest of the whole image that the manifest has; the zero Digest if there is none.
func (c *chunks) listed() fetch.Digest {
	if c == nil {
		return fetch.Digest{}
	}
	return fetch.Digest{Algorithm: "sha256", Hex: fmt.Sprintf("%x", c.Digest)}
}

// A ManifestError says that the manifest of an image's chunks is missing, or not the one that was asked for.
type ManifestError struct {
	URL string
	Err error
}

// Error names the file.
func (e *ManifestError) Error() string { return fmt.Sprintf("the manifest %s: %v", e.URL, e.Err) }

// Unwrap returns the cause.
func (e *ManifestError) Unwrap() error { return e.Err }

// An UnverifiableError says why an image cannot be streamed that is to be verified part by part.
type UnverifiableError struct{ Why string }

// Error gives the reason.
func (e *UnverifiableError) Error() string {
	return "stream the image, which is to be verified by rd.liveboot.chunks=: " + e.Why
}

// fromStream mounts the live system from an image that is still at its server, to be complete on the RAM disk. It returns nil where the image is to be
// downloaded as a whole.
func (b *run) fromStream(ctx context.Context) (*medium, error) {
	image, err := b.lookAtStream(ctx)
	if err != nil || image == nil {
		return nil, err
	}
	defer image.Close()
	return stage(ctx, b, plan.Target, func(ctx context.Context) (*medium, string, error) {
		job := b.job(image)
		if !image.lazy {
			if _, _, err := b.prepareDisk(image.Size, streamBuffers); err != nil {
				return nil, "", err
			}
			job.Device = target.RAMDisk
		}
		ready, err := b.stream(ctx, job)
		if err != nil || ready == nil {
			return nil, "", err
		}
		return &medium{Medium: live.Medium{Device: ready.Device}, streamed: true}, b.streams(ready, job), nil
	})
}

// lookAtStream finds out whether the image is to be streamed, and what is known of it; it returns nil where it is to be downloaded as a whole.
func (b *run) lookAtStream(ctx context.Context) (*remote, error) {
	if !b.plan.Stream.Wanted() {
		return nil, nil
	}
	return stage(ctx, b, plan.Fetch, b.openStream)
}

func (b *run) openStream(ctx context.Context) (_ *remote, what string, err error) {
	source, err := b.source()
	if err != nil {
		return nil, "", err
	}
	image := &remote{source: source, lazy: b.plan.Stream.Mode == plan.StreamLazy}
	if b.plan.Stream.Mode == plan.StreamAuto && source.RetryMaxTime == 0 {
		source.RetryMaxTime = lookPatience // what is really wrong the download tells
	}
	image.Ranges, err = fetch.OpenRanges(ctx, source, fetch.Environment{
		Roots: b.Root, Report: b.tellFetch, Decompress: b.decompress, Verifies: b.plan.Stream.Chunks != (manifest.Root{}),
	})
	var none *fetch.NoRangesError
	switch {
	case errors.As(err, &none):
		return nil, "", b.asWhole(none.Reason)
	case err != nil && ctx.Err() == nil && b.plan.Stream.Mode == plan.StreamAuto && !silent(err):
		return nil, "", b.asWhole(err.Error())
	case err != nil:
		return nil, "", err
	}
	why, err := b.examine(ctx, image)
	if errors.As(err, &none) { // nothing of it is in use yet
		why, err = none.Reason, nil
	}
	if err != nil || why != "" {
		if closeErr := image.Close(); err == nil {
			err = closeErr
		}
		return nil, "", errors.Join(err, b.asWhole(why))
	}
	b.report.Image.URL, b.report.Image.Size = image.URL.String(), image.Size
	return image, fmt.Sprintf("%v, %s, to be streamed", image.URL, target.MiB(image.Size)), nil
}

// asWhole tells why an image is downloaded instead. Where a manifest is demanded, that is an error unless there is something else to verify it by.
func (b *run) asWhole(why string) error {
	switch {
	case why == "":
		return nil
	case b.plan.Stream.Chunks != (manifest.Root{}) && b.plan.Image.Digest == (fetch.Digest{}) && b.trusted == nil:
		return &UnverifiableError{why}
	case b.plan.Stream.Mode == plan.StreamAuto:
		b.ui.Debugf("the image is downloaded as a whole: %s", why)
	default:
		b.ui.Warnf("the image is not streamed, but downloaded as a whole: %s", why)
	}
	return nil
}

// cannotStream goes on with a download where the machine cannot stream.
func (b *run) cannotStream(why error) error {
	if b.plan.Stream.Mode == plan.StreamAuto {
		b.ui.Warnf("stream the image: %v", why)
	}
	return b.asWhole(why.Error())
}

// examine finds out what an image is to be verified by, and looks at its beginning. It returns why the image is to be downloaded as a whole, if so.
func (b *run) examine(ctx context.Context, image *remote) (why string, err error) {
	early, err := b.findManifest(ctx, image)
	if err != nil {
		return "", err
	}
	if image.digest, err = image.expected(ctx, early); err != nil {
		return "", err
	}
	if demanded(image.source) && !early {
		switch b.plan.Stream.Mode {
		case plan.StreamAuto:
			return "its digest is demanded, and known only when all of it is there", nil
		case plan.StreamLazy:
			return "", &ManifestError{image.beside(), errors.New("without one the image cannot be verified, which is demanded: it is never there as a whole")}
		}
		b.ui.Warnf("the image's digest can be compared only when all of it is there: with a manifest (mkinitramfs -manifest) each part is verified before it is used")
	}
	began := b.Uptime()
	head := make([]byte, min(image.Size, target.BlockSize))
	if _, err := image.ReadAt(head, 0); err != nil {
		return "", err
	}
	took := b.Uptime() - began
	if _, err := target.Volume(head, image.Size); err != nil {
		return "", err
	}
	if b.plan.Stream.Mode == plan.StreamAuto {
		return b.decideStream(image, took)
	}
	return "", nil
}

// decideStream judges for auto, when the first block took so long. The answer is why the image is not streamed.
func (b *run) decideStream(image *remote, took time.Duration) (why string, err error) {
	info, err := memory.Read(b.Proc)
	if err != nil {
		return "", err
	}
	blocks := float64(image.Size) / target.BlockSize
	inMemory := b.plan.Target.Device == target.RAMDisk
	switch {
	case inMemory && image.Size+target.Headroom+streamBuffers > info.Available:
		b.ui.Warnf("the image of %s does not fit into the memory, of which %s are available: only what is asked for is fetched, and the server is needed as long as the machine runs",
			target.MiB(image.Size), target.MiB(info.Available))
		image.lazy = true
	case inMemory && image.Size > info.Available/2, time.Duration(blocks*float64(took)) > longDownload:
	default:
		return "it is small for this machine and its line", nil
	}
	return "", nil
}

// findManifest gives an image its manifest. It reports whether that may be trusted: each part can be verified before it is used. One that may be
// is read once.
func (b *run) findManifest(ctx context.Context, image *remote) (trusted bool, err error) {
	if image.chunks = b.trusted; image.chunks == nil {
		if image.chunks, err = b.readManifest(ctx, image); err != nil || image.chunks == nil {
			return false, err
		}
	}
	if has := image.chunks.Size; has != image.Size {
		return false, &ManifestError{image.beside(), fmt.Errorf("it is of an image of %d bytes, and the server's has %d", has, image.Size)}
	}
	if b.plan.Stream.Chunks != (manifest.Root{}) || image.source.Signature != nil {
		b.trusted = image.chunks
	}
	return b.trusted != nil, nil
}

// readManifest reads the manifest beside an image; nil if there is none, and none is demanded.
func (b *run) readManifest(ctx context.Context, image *remote) (*chunks, error) {
	root := b.plan.Stream.Chunks
	fail := func(err error) (*chunks, error) { return nil, &ManifestError{image.beside(), err} }
	data, err := image.Beside(ctx, manifest.Suffix, manifest.MaxSize, image.source.Signature != nil && root == (manifest.Root{}))
	switch {
	case errors.Is(err, fs.ErrNotExist) && root == (manifest.Root{}):
		return nil, nil
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, fs.ErrNotExist):
		return fail(err)
	case err != nil:
		return nil, err
	}
	m, err := manifest.Parse(data)
	switch {
	case err != nil:
		return fail(err)
	case root != (manifest.Root{}) && m.Root() != root:
		return fail(fmt.Errorf("its root is %v, and rd.liveboot.chunks= demands %v", m.Root(), root))
	}
	return &chunks{m, data}, nil
}

// beside is the URL of the manifest, for people.
func (r *remote) beside() string { return r.Ranges.URL.String() + manifest.Suffix }

// expected returns the digest of the whole image. Where the manifest is trusted, it says it; else it must not say another one.
func (r *remote) expected(ctx context.Context, trusted bool) (fetch.Digest, error) {
	listed, digest := r.chunks.listed(), r.source.Digest
	if !trusted {
		var err error
		if digest, err = r.Digest(ctx); err != nil {
			return digest, err
		}
	}
	switch {
	case digest == (fetch.Digest{}):
		return listed, nil
	case listed != (fetch.Digest{}) && listed.Algorithm == digest.Algorithm && listed != digest:
		return digest, &ManifestError{r.beside(), fmt.Errorf("it is of an image with the digest %v, and not with %v", listed, digest)}
	}
	return digest, nil
}

// ReadAt implements io.ReaderAt. What a manifest is known for is verified by it: one that was not made anew with the image is found out here, where
// a person reads it.
func (r *remote) ReadAt(p []byte, offset int64) (int, error) {
	if r.chunks == nil {
		return r.Ranges.ReadAt(p, offset)
	}
	done := 0
	for done < len(p) && offset < r.Size {
		chunk, at, err := r.chunk(offset)
		if err != nil {
			return done, err
		}
		n := copy(p[done:], chunk[offset-at:])
		done, offset = done+n, offset+int64(n)
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// chunk reads the chunk of the manifest that has a byte, and returns where it begins.
func (r *remote) chunk(offset int64) (chunk []byte, at int64, err error) {
	index := int(offset / r.chunks.ChunkSize)
	at, length := r.chunks.Bounds(index)
	chunk = make([]byte, length)
	if _, err := r.Ranges.ReadAt(chunk, at); err != nil {
		return nil, at, err
	}
	if err := r.chunks.Verify(index, chunk); err != nil {
		return nil, at, &ManifestError{r.beside(), fmt.Errorf("the image at the server is another one: %w", err)}
	}
	return chunk, at, nil
}
