package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/fetch/blockcache"
	"github.com/liveboot/liveboot/pkg/handoff"
	"github.com/liveboot/liveboot/pkg/isokernel"
	"github.com/liveboot/liveboot/pkg/kernel/kexec"
	"github.com/liveboot/liveboot/pkg/plan"
	"github.com/liveboot/liveboot/pkg/target"
)

// pieces is an image that can be read here and there, before it is downloaded or where it lies.
type pieces struct {
	io.ReaderAt
	// received returns how many bytes travelled, for the progress.
	received func() int64
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
var errUnverified = errors.New("an image whose digest or signature is demanded has to be verified as a whole before anything in it is started")

// kernelFromServer starts the image's own kernel before the image is downloaded, where that is wanted and the server serves ranges. It returns
// nil where the running kernel stays, for now.
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
	if source.Signature != nil || source.Digest != (fetch.Digest{}) {
		return nil, b.stay(errUnverified)
	}
	image, err := fetch.OpenRanges(ctx, source, fetch.Environment{Roots: b.Root, Report: b.tellFetch, Decompress: b.decompress})
	var none *fetch.NoRangesError
	switch {
	case errors.As(err, &none):
		return nil, b.stay(fmt.Errorf("the image's kernel could not be looked at before the download: %s", none.Reason))
	case err != nil:
		return nil, &StageError{plan.Fetch, err}
	}
	defer image.Close()
	return b.ownKernel(ctx, pieces{blockcache.New(image, image.Size, blockcache.Options{}), image.Received})
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
	return b.ownKernel(ctx, pieces{f, nil})
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
		return &StageError{plan.Handoff, &KernelError{"", why}}
	}
	return nil
}

// ownKernel finds out whether the live system needs the image's own kernel, and if so makes it ready to be started.
func (b *run) ownKernel(ctx context.Context, image pieces) (*handoff.Ready, error) {
	kernel, err := isokernel.Find(image, runtime.GOARCH)
	always := b.plan.Handoff.Way == handoff.KexecAlways
	switch {
	case err == nil && kernel.Info.Release == b.Release && !always:
		b.settle("the running kernel is the image's own")
		return nil, nil
	case !always && errors.Is(err, isokernel.ErrNoKernel):
		b.settle("the image has no kernel of its own")
		return nil, nil
	}
	why := "it was asked for (rd.liveboot.handoff=kexec), in place of the running " + b.Release
	if !always {
		var needed bool
		if why, needed = b.needsOwnKernel(image); !needed {
			b.settle(why)
			return nil, nil
		}
	}
	if err != nil {
		return nil, &StageError{plan.Handoff, &KernelError{kernelPath(kernel), err}}
	}
	ready, err := stage(ctx, b, plan.Handoff, func(ctx context.Context) (*handoff.Ready, string, error) {
		if err := b.loadKernel(ctx, image, kernel, why); err != nil {
			return nil, "", b.fallBack(&KernelError{kernel.Image.Path, err})
		}
		what := fmt.Sprintf("kexec into Linux %s of the image: %s", kernel.Info.Release, why)
		return &handoff.Ready{Kexec: true}, what, nil
	})
	return ready, err
}

// kernelPath is that of a kernel that may not have been found.
func kernelPath(k *isokernel.Kernel) string {
	if k == nil {
		return ""
	}
	return k.Image.Path
}

// needsOwnKernel reports whether the live system has modules, and none for the running kernel; and why, or why not. What cannot be read without
// being mounted is thought to have them for its own kernel. What is damaged the boot finds out when it mounts it.
func (b *run) needsOwnKernel(image pieces) (why string, needed bool) {
	versions, _, err := isokernel.RootModules(image, b.plan.Live)
	var unreadable *isokernel.UnreadableError
	switch {
	case errors.As(err, &unreadable):
		return fmt.Sprintf("the live system cannot be looked at (%v), and has hardly modules for the running %s", err, b.Release), true
	case err != nil:
		return fmt.Sprintf("the live system could not be looked at: %v", err), false
	case len(versions) == 0:
		return "the live system has no modules", false
	case slices.Contains(versions, b.Release):
		return "the live system has modules for the running kernel", false
	}
	return fmt.Sprintf("the live system has modules for %s, none for the running %s", strings.Join(versions, ", "), b.Release), true
}

// fallBack lets the boot go on with the running kernel where the other cannot be started for a reason that is not its own, and nobody demanded it.
func (b *run) fallBack(err error) error {
	var load *kexec.LoadError
	var missing *isokernel.MissingError
	refused := errors.As(err, &load) && (load.Refused() || load.Reason == kexec.Unsupported || load.Reason == kexec.Memory)
	var memory *KexecMemoryError
	if b.plan.Handoff.Way == handoff.KexecAlways || !refused && !errors.As(err, &missing) && !errors.As(err, &memory) {
		return err
	}
	b.ui.Warnf("%v; going on with the running kernel", err)
	b.settle("the image's own kernel could not be started")
	return nil
}

// loadKernel loads the kernel with an initramfs made of this one and the kernel's modules.
func (b *run) loadKernel(ctx context.Context, image pieces, kernel *isokernel.Kernel, why string) error {
	b.ui.Debugf("handoff: getting Linux %s (%s) out of the image: %s", kernel.Info.Release, kernel.Image.Path, why)
	taken, err := b.nextModules(ctx, image, kernel)
	if err != nil {
		return err
	}
	var received int64
	if image.received != nil {
		received = image.received()
	}
	initrd, err := b.nextInitramfs(ctx, kernel, taken, why, received)
	if err != nil {
		return err
	}
	defer initrd.Close()
	program, err := kernelFile(ctx, kernel)
	if err != nil {
		return err
	}
	defer program.Close()
	line, err := b.nextCommandLine(kernel)
	if err != nil {
		return err
	}
	return b.Kexec.Load(program, initrd, line)
}
