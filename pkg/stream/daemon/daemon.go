package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/console"
	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/kernel/kexec"
	"github.com/liveboot/liveboot/pkg/kernel/memory"
	"github.com/liveboot/liveboot/pkg/kernel/power"
	"github.com/liveboot/liveboot/pkg/stream"
)

// Hooks are what else is to be done where an image is to be complete; nil ones are left out.
type Hooks struct {
	// Place returns what the image is written to, when device is what Job.Device names, and size that of the image in bytes.
	Place func(job Job, device *stream.DevicePlace, size int64) (stream.Place, error)
	// Complete is called when all of the image is in its place, flushed, and right, before the live system is told to read it there.
	Complete func(ctx context.Context, job Job, place stream.Place) error
}

// Main is the life of the process that was started with Argument. It returns the exit status.
func Main(hooks Hooks) int {
	_ = os.WriteFile("/proc/self/comm", []byte("liveboot-stream"), 0o644) // for ps: by its path it would be called "exe"
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGPIPE)
	in, out := os.NewFile(InputFD, "input"), os.NewFile(OutputFD, "output")
	log := console.OpenKmsg("/")
	if log == nil {
		log = io.Discard
	}
	t := newTeller(out, log)
	defer t.close()
	if err := run(context.Background(), in, t, hooks); err != nil {
		t.tell(Message{Failed: err.Error()})
		return 1
	}
	return 0
}

// run does the job that comes from in.
func run(ctx context.Context, in io.Reader, t *teller, hooks Hooks) error {
	input := json.NewDecoder(in)
	job, err := readJob(input)
	if err != nil {
		return err
	}
	// Commands are short: the decoder's memory, in which the job was, is given back.
	input = json.NewDecoder(io.MultiReader(input.Buffered(), in))
	if err := isolate(job.keep()); err != nil {
		return fmt.Errorf("make a root folder for the streaming process: %w", err)
	}
	if err := survive(); err != nil {
		return err
	}
	d := newDaemon(job, hooks, t)
	d.names = newNames(ctx, "/", job.Source)
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() { d.watch(ctx) })
	if err := d.open(ctx); err != nil {
		return err
	}
	defer d.source.Close()
	return d.stream(ctx, commands(input))
}

// keep are the files of the initramfs that are needed later.
func (j Job) keep() []string {
	keep := j.Keep
	for _, name := range []string{j.Source.CACert, j.Source.CAPath, j.Source.Cert, j.Source.Key} {
		if name != "" {
			keep = append(keep, name)
		}
	}
	return keep
}

// commands receives commands until nobody sends any more, and tells when to fill.
func commands(in *json.Decoder) (fill <-chan struct{}) {
	told := make(chan struct{})
	go func() {
		defer close(told)
		for {
			var c Command
			if err := in.Decode(&c); err != nil || c.Fill {
				return
			}
		}
	}()
	return told
}

// daemon is a job under way.
type daemon struct {
	job    Job
	hooks  Hooks
	teller *teller
	often  thinner
	line   *line
	names  *names
	status *status
	power  func(power.Action) error
	shout  func(text string)
	ending *ending
	before *provision // the end

	url    fetch.URL
	size   int64 // of the image in bytes
	source *source
	device *stream.DevicePlace // nil if the image is never to be complete
	place  stream.Place
	store  atomic.Pointer[stream.Store] // nil before there is one
}

func newDaemon(job Job, hooks Hooks, t *teller) *daemon {
	d := &daemon{job: job, hooks: hooks, teller: t, power: power.Do, shout: shout, status: &status{path: filepath.Join("/", StatusPath)}}
	d.line = &line{say: d.loud}
	nodes := &nodes{folder: filepath.Join("/", nodesPath), proc: "/proc"}
	d.ending = &ending{look: nodes.look, isLast: nodes.isLast, say: d.loud}
	d.before = &provision{
		runs: nodes.seen, say: d.quiet, once: job.Device != "",
		read: func() error { _, err := readLast("/proc", provisionLimit); return err },
	}
	d.ending.end = machine{say: d.loud, flush: flushAll, power: d.power, kexec: kexec.Execute}.end
	return d
}

// stall is for how long a server may send nothing: shorter than it would be where a new connection costs more than the next part of a few
// hundred kilobytes. It is also how long it takes until it is noticed that the machine has another address.
const stall = 20 * time.Second

// open asks for the image. That may be done again later.
func (d *daemon) open(ctx context.Context) error {
	env := fetch.Environment{Roots: "/", Stall: stall, Verifies: len(d.job.Chunks) > 0, Report: d.heard}
	from := d.job.Source
	open := func(first int) (*fetch.Ranges, error) {
		s := from
		if n := len(s.URLs); n > 1 {
			s.URLs = slices.Concat(s.URLs[first%n:], s.URLs[:first%n])
		}
		return fetch.OpenRanges(ctx, s, env)
	}
	image, err := open(0)
	if err != nil {
		return err
	}
	d.line.works()
	d.url, d.size = image.URL, image.Size
	d.source = newSource(image, d.line)
	d.source.open, d.source.changed, d.source.verified = open, d.another, env.Verifies
	return nil
}

// stream makes the device and serves it until the image is complete.
func (d *daemon) stream(ctx context.Context, fill <-chan struct{}) error {
	if err := d.openPlace(); err != nil {
		return err
	}
	config, err := d.config()
	if err != nil {
		return err
	}
	store, err := stream.New(config, d.source, d.place)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { store.Run(ctx) })
	device, err := store.Attach(ctx, d.job.Mapped)
	if err != nil {
		return err
	}
	d.status.begin(d.url.String(), device.Path)
	d.store.Store(store)
	if err := layUnits("/"); err != nil {
		d.loud("the end of the live system will not be noticed, and waits for the server: " + err.Error())
	}
	d.teller.tell(Message{Ready: &Ready{Device: device.Path, Beneath: device.Beneath, Size: d.size, URL: d.url.String()}})
	// What goes wrong from here on leaves a device that works as long as the process does.
	if d.place != nil {
		<-fill
		err := d.complete(ctx, store, device)
		if err == nil {
			return nil
		}
		if wrong := d.incomplete(err); wrong != nil {
			running.Go(func() { d.alarm(ctx, *wrong) })
		}
	}
	return device.Wait()
}

// openPlace opens the device where the image will be complete.
func (d *daemon) openPlace() (err error) {
	if d.job.Device == "" {
		return nil
	}
	if d.device, err = stream.OpenPlace(d.job.Device, d.job.Offset); err != nil {
		return err
	}
	d.place = d.device
	if d.hooks.Place != nil {
		d.place, err = d.hooks.Place(d.job, d.device, d.size)
	}
	return err
}

func (d *daemon) config() (stream.Config, error) {
	c := stream.Config{
		Size: d.size, Connections: d.job.Source.Connections, Rate: d.job.Rate, Memory: d.job.Memory,
		ChunkSize: d.job.ChunkSize, Ahead: d.job.Ahead,
		Available: func() (int64, error) { info, err := memory.Read(os.DirFS("/")); return info.Available, err },
		Report:    d.happened,
	}
	if err := d.verified(&c); err != nil {
		return c, err
	}
	fewer(&c)
	return c, nil
}

// A settler is a device that can show what is in place.
type settler interface {
	Settle(place *stream.DevicePlace) error
}

// complete fills the place, makes sure that it holds the image, and lets the device show it.
func (d *daemon) complete(ctx context.Context, store *stream.Store, device settler) error {
	if err := store.Fill(ctx); err != nil {
		return err
	}
	if err := d.place.Sync(); err != nil {
		return fmt.Errorf("flush the image: %w", err)
	}
	if err := d.check(ctx, store); err != nil {
		return err
	}
	if d.hooks.Complete != nil {
		if err := d.hooks.Complete(ctx, d.job, d.place); err != nil {
			return err
		}
	}
	if err := device.Settle(d.device); err != nil {
		return err
	}
	st := store.Stats()
	d.teller.tell(Message{Progress: &st})
	d.teller.tell(Message{Complete: true})
	d.status.comeTo(Complete, "")
	d.status.update(st, false, healthy, "")
	return nil
}

// incomplete says why the live system goes on with this process. It returns how the image is wrong, if it is, which is not said yet.
func (d *daemon) incomplete(err error) *Mismatch {
	var digest *fetch.DigestError
	if errors.As(err, &digest) {
		m := &Mismatch{Want: digest.Want, Got: digest.Got, Reboot: d.job.Reboot}
		d.status.comeTo(Mismatched, m.String())
		return m
	}
	d.status.comeTo(Incomplete, err.Error())
	d.loud(fmt.Sprintf("the image will not be complete, the live system goes on with its server: %v", err))
	return nil
}
