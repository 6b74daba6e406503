package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/fetch/blockcache"
	"github.com/liveboot/liveboot/pkg/handoff"
	"github.com/liveboot/liveboot/pkg/isokernel"
	"github.com/liveboot/liveboot/pkg/kernel/kexec"
	"github.com/liveboot/liveboot/pkg/plan"
	"github.com/liveboot/liveboot/pkg/stream/manifest"
	"github.com/liveboot/liveboot/pkg/target"
)

// pieces is an image that is read here and there, before it is downloaded or where it lies.
type pieces struct {
	io.ReaderAt
	// received returns how many bytes travelled so far; nil where none do.
	received func() int64

	mu     sync.Mutex
	failed error
}

// ReadAt implements io.ReaderAt, and notes what did not work: it is no fault of the image.
func (p *pieces) ReadAt(b []byte, offset int64) (int, error) {
	n, err := p.ReaderAt.ReadAt(b, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		p.mu.Lock()
		if p.failed == nil {
			p.failed = err
		}
		p.mu.Unlock()
	}
	return n, err
}

// failure is what did not work, nil for nothing.
func (p *pieces) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// A KernelError says why the image's own kernel cannot be started.
type KernelError struct {
	// Path of the kernel in the image; empty if it was not found.
	Path string
	err  error
}

// Error names the kernel.
func (e *KernelError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("start the image's own kernel: %v", e.err)
	}
	return fmt.Sprintf("start the image's own kernel %s: %v", e.Path, e.err)
}

// Unwrap returns the cause.
func (e *KernelError) Unwrap() error { return e.err }

// errUnverified says why no part of an image is started whose digest is demanded: the kernel would be the one that verifies.
var errUnverified = errors.New("an image whose digest or signature is demanded, and that has no trusted manifest of its chunks, has to be verified as a whole before anything in it is started")

// kernelFromServer starts the image's own kernel before the image is downloaded, where that is wanted and the server serves ranges. It returns
// nil where the running kernel stays, at least until the image is there. A server that cannot be read this way may be read from its first byte to
// its last: what is really wrong with it the download tells, unless nothing was heard of it.
func (b *run) kernelFromServer(ctx context.Context) (*handoff.Ready, error) {
	if b.kernelSettled() {
		return nil, nil
	}
	if err := b.pause(plan.Fetch); err != nil { // before the connection is opened: a server does not wait while a person looks around
		return nil, &StageError{plan.Fetch, err}
	}
	source, err := b.source()
	if err != nil {
		return nil, &StageError{plan.Fetch, err}
	}
	if demanded(source) && !b.plan.Stream.Wanted() {
		return nil, staged(plan.Handoff, b.stay(errUnverified))
	}
	if source.RetryMaxTime == 0 {
		source.RetryMaxTime = lookPatience
	}
	image, err := fetch.OpenRanges(ctx, source, fetch.Environment{Roots: b.Root, Report: b.tellFetch, Decompress: b.decompress})
	var none *fetch.NoRangesError
	switch {
	case ctx.Err() != nil:
		return nil, &StageError{plan.Fetch, context.Cause(ctx)}
	case errors.As(err, &none):
		return nil, staged(plan.Handoff, b.stay(fmt.Errorf("the image's kernel could not be looked at before the download: %s", none.Reason)))
	case silent(err):
		return nil, &StageError{plan.Fetch, err}
	case err != nil:
		return nil, staged(plan.Handoff, b.stay(fmt.Errorf("the image's kernel could not be looked at before the download: %w", err)))
	}
	defer image.Close()
	look := &remote{Ranges: image, source: source}
	if demanded(source) || b.plan.Stream.Chunks != (manifest.Root{}) {
		trusted, err := b.findManifest(ctx, look)
		switch {
		case err != nil:
			return nil, &StageError{plan.Fetch, err}
		case !trusted:
			return nil, staged(plan.Handoff, b.stay(errUnverified))
		}
	}
	return b.ownKernel(ctx, &pieces{ReaderAt: blockcache.New(look, image.Size, blockcache.Options{}), received: image.Received})
}

// demanded reports whether nothing of an image may be used that was not verified.
func demanded(s fetch.Source) bool { return s.Signature != nil || s.Digest != (fetch.Digest{}) }

// lookPatience is how long a server is tried that does not let the image be read here and there, where the line says nothing about that. It is
// for each read, and no shorter than a server that never answers is tried.
const lookPatience = fetch.DefaultSilent

// silent reports whether err says that no server ever answered: it was tried for as long as it is to be, so that a download would not have to try
// again.
func silent(err error) bool {
	var none *fetch.SourceError
	return errors.As(err, &none) && none.Silent()
}

// kernelOn starts the kernel of the image on a device.
func (b *run) kernelOn(ctx context.Context, device string) (*handoff.Ready, error) {
	if b.kernelSettled() {
		return nil, nil
	}
	f, err := b.Open(device)
	if err != nil {
		return nil, &StageError{plan.Handoff, err}
	}
	defer f.Close()
	return b.ownKernel(ctx, &pieces{ReaderAt: f})
}

// kernelSettled reports whether nothing is left to find out about the kernel.
func (b *run) kernelSettled() bool {
	switch {
	case b.plan.Handoff.Way == handoff.SwitchRootOnly:
		b.settle("asked for (rd.liveboot.handoff=switch_root)")
	case b.previous.Kernel != "":
		b.settle("Linux " + b.previous.Kernel + " was left for the running kernel")
	}
	return b.settled
}

// settle notes for good why the running kernel stays.
func (b *run) settle(why string) { b.stays, b.settled = why, true }

// stay notes why the running kernel stays as far as this source of the image goes. Where another kernel was demanded, that is an error unless
// the image is soon on a disk, to look at again.
func (b *run) stay(why error) error {
	b.stays = why.Error()
	if b.plan.Handoff.Way == handoff.KexecAlways && b.plan.Target.Device == target.RAMDisk && !b.plan.Local.There() {
		return &KernelError{"", why}
	}
	return nil
}

// ownKernel finds out whether the live system needs the image's own kernel, and if so makes it ready to be started.
func (b *run) ownKernel(ctx context.Context, image *pieces) (*handoff.Ready, error) {
	next, err := b.judge(image)
	if failed := image.failure(); failed != nil {
		return nil, staged(plan.Handoff, b.unread(ctx, image, failed))
	}
	if err != nil || next == nil {
		return nil, err
	}
	return stage(ctx, b, plan.Handoff, func(ctx context.Context) (*handoff.Ready, string, error) {
		err := b.loadKernel(ctx, image, next)
		failed := image.failure()
		switch {
		case failed != nil:
			return nil, "", b.unread(ctx, image, failed)
		case err != nil:
			debug.FreeOSMemory() // what follows measures what is available
			return nil, "", b.fallBack(&KernelError{next.kernel.Image.Path, err})
		}
		what := fmt.Sprintf("kexec into Linux %s of the image: %s", next.kernel.Info.Release, next.why)
		return &handoff.Ready{Kexec: true}, what, nil
	})
}

// unread goes on with the running kernel where the image could not be read: what is wrong with its server or its disk shows next.
func (b *run) unread(ctx context.Context, image *pieces, cause error) error {
	b.settled = false // by what was made of the failure
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case image.received == nil && b.plan.Handoff.Way == handoff.KexecAlways:
		return cause
	}
	b.ui.Warnf("look for the image's own kernel: %v", cause)
	return b.stay(errors.New("the image could not be read to look for its own kernel"))
}

// another is a kernel that is to be started.
type another struct {
	kernel *isokernel.Kernel
	why    string
	// root of the live system, nil if it was not opened.
	root fs.FS
}

// judge decides about the image's own kernel; it returns nil where the running one stays.
func (b *run) judge(image *pieces) (*another, error) {
	kernel, err := isokernel.Find(image, runtime.GOARCH)
	next := &another{kernel: kernel, why: "it was asked for (rd.liveboot.handoff=kexec), in place of the running " + b.Release}
	if b.plan.Handoff.Way != handoff.KexecAlways {
		switch {
		case err == nil && kernel.Info.Release == b.Release:
			b.settle("the running kernel is the image's own")
			return nil, nil
		case errors.Is(err, isokernel.ErrNoKernel):
			b.settle("the image has no kernel of its own")
			return nil, nil
		}
		var needed bool
		if needed, next.why, next.root = b.needsOwnKernel(image); !needed {
			b.settle(next.why)
			return nil, nil
		}
	}
	if err != nil {
		return nil, &StageError{plan.Handoff, &KernelError{"", err}}
	}
	return next, nil
}

// needsOwnKernel reports whether the live system has modules, and none for the running kernel; and why, or why not. What cannot be read without
// being mounted is thought to have them for its own kernel. What is damaged the boot finds out when it mounts it.
func (b *run) needsOwnKernel(image *pieces) (needed bool, why string, root fs.FS) {
	versions, root, err := isokernel.RootModules(image, b.plan.Live)
	var unreadable *isokernel.UnreadableError
	switch {
	case errors.As(err, &unreadable):
		return true, fmt.Sprintf("the live system cannot be looked at (%v), and has hardly modules for the running %s", err, b.Release), nil
	case err != nil:
		return false, fmt.Sprintf("the live system could not be looked at: %v", err), nil
	case len(versions) == 0:
		return false, "the live system has no modules", nil
	case slices.Contains(versions, b.Release):
		return false, "the live system has modules for the running kernel", nil
	}
	return true, fmt.Sprintf("the live system has modules for %s, none for the running %s", strings.Join(versions, ", "), b.Release), root
}

// fallBack lets the boot go on with the running kernel where the other cannot be started for a reason that is not its own, and nobody demanded it.
func (b *run) fallBack(err error) error {
	var load *kexec.LoadError
	var missing *isokernel.MissingError
	var memory *KexecMemoryError
	possible := errors.As(err, &missing) || errors.As(err, &memory) ||
		errors.As(err, &load) && (load.Refused() || slices.Contains([]kexec.Reason{kexec.Unsupported, kexec.Memory, kexec.CommandLine}, load.Reason))
	if b.plan.Handoff.Way == handoff.KexecAlways || !possible {
		return err
	}
	b.ui.Warnf("%v; going on with the running kernel", err)
	b.settle("the image's own kernel could not be started")
	return nil
}

// loadKernel loads the kernel with an initramfs made of this one and the kernel's modules.
func (b *run) loadKernel(ctx context.Context, image *pieces, next *another) error {
	kernel := next.kernel
	b.ui.Debugf("handoff: getting Linux %s (%s) out of the image: %s", kernel.Info.Release, kernel.Image.Path, next.why)
	packed := kernel.Image.Size
	for _, i := range kernel.Initrds {
		packed += i.Size
	}
	if err := b.fitsKexec(packed); err != nil {
		return err
	}
	program, err := kernelFile(ctx, kernel)
	if err != nil {
		return err
	}
	defer program.Close()
	taken, err := b.nextModules(ctx, image, next)
	if err != nil {
		return err
	}
	initrd, err := b.nextInitramfs(ctx, image, next, taken)
	if err != nil {
		return err
	}
	defer initrd.Close()
	line, err := b.nextCommandLine(kernel)
	if err != nil {
		return err
	}
	return b.Kexec.Load(program, initrd, line)
}
