// Package shutdown ends a live system whose root is still in use when everything else is over, which is what process 1 of that system cannot
// do itself: it runs from that root. systemd-shutdown pivots into /run/initramfs and executes the program shutdown there
// (https://systemd.io/INITRD_INTERFACE, "exitrd"), whose whole work this is: it unmounts the old root and all that is below it,
// so that the file system which holds the changes has no journal to replay, and ends the kernel's run.
//
// The program lies in memory for as long as the live system runs. So nothing here imports more of the standard library than syscall:
// fmt, os and time would double its size.
package shutdown

// A Machine is what is shut down. Its functions are called by one goroutine at a time, but for those that have not returned yet when
// patience with them ends.
type Machine struct {
	// Mountinfo returns the text of /proc/self/mountinfo.
	Mountinfo func() (string, error)
	// Unmount detaches what is mounted at point: at once, or, if lazy, as soon as nobody uses it any more.
	Unmount func(point string, lazy bool) error
	// ReadOnly makes the file system that is mounted at point read-only.
	ReadOnly func(point string) error
	// DetachLoops frees the loop devices that nobody uses, and returns how many these were.
	DetachLoops func() int
	// Kill ends processes; those that say that they serve the root file system only if all. It returns how many are not gone yet.
	Kill func(all bool) int
	// InUse names the file systems that still have a writable device: also those whose mounts nobody sees.
	InUse func() []string
	// ReadOnlyAll makes every file system read-only that has a device, by force.
	ReadOnlyAll func() error
	// Sync writes what is dirty.
	Sync func()
	// Say tells people something.
	Say func(line string)
	// Tick ticks Second times a second.
	Tick <-chan struct{}
}

// Second is how many ticks a second has.
const Second = 10

// Limits in ticks.
const (
	// Limit is how long all may take: the caller ends the machine when it is over.
	Limit = 10 * Second
	// patience is how long the first call of the kernel that does not come back is waited for; a dead disk or server does not answer. Each
	// further one gets half the time, so that however many there are, time is left for the rest.
	patience = 3 * Second
	// dying is how long killed processes are waited for.
	dying = 2 * Second
	// settling is how long things that are in use are tried again though nothing changes: the kernel frees some in the background.
	settling = Second / 2
)

// errSlow is the error of a call that has not returned yet.
type errSlow struct{}

func (errSlow) Error() string { return "the kernel does not come back from it" }

// run is a shutdown under way.
type run struct {
	Machine
	// hanging are the mount points of which an unmount has not returned, and what it will return to.
	hanging []call
}

// call is one of the kernel that may never return.
type call struct {
	point string
	done  chan error
}

// Run takes the machine's mounts down, and says what it could not unmount.
func Run(m Machine) {
	r := &run{Machine: m}
	r.sync()
	r.kill(false)
	left := r.unwind()
	if len(left) > 0 {
		// A process that serves a file system was spared as long as that might be needed.
		r.kill(true)
		left = r.unwind()
	}
	if len(left) > 0 {
		r.force(left)
		r.unwind()
	}
	if inUse := r.inUse(); len(inUse) > 0 {
		r.readOnlyAll(inUse)
	} else if len(left) == 0 {
		r.Say("all file systems are unmounted")
	}
	r.sync()
	for _, c := range r.hanging {
		<-c.done // the caller ends the machine if this takes too long
	}
}

func (r *run) sync() {
	_ = r.wait("", func() error { r.Sync(); return nil }) // if it hangs, there is nothing to be done
}

// wait calls f, but goes on without it when patience ends.
func (r *run) wait(point string, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	for range max(patience>>len(r.hanging), 2) { // the first tick may be due already
		select {
		case err := <-done:
			return err
		case <-r.Tick:
		}
	}
	r.hanging = append(r.hanging, call{point, done})
	return errSlow{}
}

func (r *run) kill(all bool) {
	for range dying {
		if r.Kill(all) == 0 {
			return
		}
		<-r.Tick
	}
}

// failure is a mount that did not go away, and why.
type failure struct {
	Mount
	err error
}

// unwind unmounts everything and frees the loop devices, again and again until nothing changes any more: a loop device is free when its mount is
// gone, and the file system that holds its file when the loop device is. It returns what is left.
func (r *run) unwind() []failure {
	idle := 0
	for before := -1; ; {
		left := r.round()
		freed := r.DetachLoops()
		switch {
		case len(left) == 0 && freed == 0:
			return nil
		case len(left) != before || freed > 0:
			idle = 0
		default:
			idle++
		}
		if idle >= settling {
			return left
		}
		if idle > 0 {
			<-r.Tick
		}
		before = len(left)
	}
}

// round tries to unmount each mount once and returns those that stay.
func (r *run) round() []failure {
	r.hanging = outstanding(r.hanging)
	text, err := r.Mountinfo()
	if err != nil {
		return []failure{{oldRoot(), err}} // then that is detached with all that is below it, unseen
	}
	var left []failure
	for _, m := range Order(ParseMountinfo(text)) {
		if r.hangs(m.Point) {
			left = append(left, failure{m, errSlow{}})
			continue
		}
		if err := r.unmount(m); err != nil {
			left = append(left, failure{m, err})
		}
	}
	return left
}

// unmount unmounts m. The kernel's own file systems keep nothing, so that it does not matter when they go, but one is in the way of all the others:
// /dev of the old root is in use by a loop device whose file was opened there, and that by the file system that the root is made of.
func (r *run) unmount(m Mount) error {
	err := r.wait(m.Point, func() error { return r.Unmount(m.Point, false) })
	if _, slow := err.(errSlow); err != nil && !slow && m.kernels() {
		err = r.wait(m.Point, func() error { return r.Unmount(m.Point, true) })
	}
	return err
}

// kernels says whether a file system is a view of the kernel.
func (m Mount) kernels() bool {
	switch m.Type {
	case "devtmpfs", "proc", "sysfs":
		return true
	}
	return false
}

// oldRoot is the mount that everything is about, where systemd leaves it.
func oldRoot() Mount { return Mount{Point: "/oldroot", Type: "overlay", Source: "the live system"} }

// outstanding returns those calls that have not returned yet.
func outstanding(calls []call) []call {
	var still []call
	for _, c := range calls {
		select {
		case <-c.done: // what it came to shows in the list of the mounts
		default:
			still = append(still, c)
		}
	}
	return still
}

func (r *run) hangs(point string) bool {
	for _, c := range r.hanging {
		if c.point == point {
			return true
		}
	}
	return false
}

// force does to what cannot be unmounted what else can be done, and says so: it is made read-only, which leaves its file system as clean as
// an unmount would, and taken out of the tree, so that it is not in the way of those above.
func (r *run) force(left []failure) {
	for _, f := range left {
		line := "cannot unmount " + f.Point + " (" + f.Type + " of " + f.Source + "): " + f.err.Error()
		if f.keeps() && !r.hangs(f.Point) {
			if err := r.wait(f.Point, func() error { return r.ReadOnly(f.Point) }); err == nil {
				line += "; it is read-only now"
			} else {
				line += "; nor can it be made read-only: " + err.Error()
			}
		}
		r.Say(line)
	}
	for _, f := range left {
		if !r.hangs(f.Point) {
			_ = r.wait(f.Point, func() error { return r.Unmount(f.Point, true) }) // it was said that it cannot be unmounted
		}
	}
}

// keeps says whether a file system keeps data on a device of this machine. All others are better left alone: what is in memory is lost anyhow,
// the kernel's own are in use by us, and a server may not answer.
func (m Mount) keeps() bool {
	return m.Type == "overlay" || len(m.Source) > 5 && m.Source[:5] == "/dev/"
}

// inUse waits a little for the kernel to let go of file systems that are not mounted any more.
func (r *run) inUse() []string {
	for range settling {
		if len(r.InUse()) == 0 {
			return nil
		}
		<-r.Tick
	}
	return r.InUse()
}

// readOnlyAll is for file systems that are in use although their mounts may not be seen. That is how the file system of the changes stays when
// the root cannot be unmounted: the overlay holds on to it when its own mount is gone.
func (r *run) readOnlyAll(inUse []string) {
	line := "still in use:"
	for _, name := range inUse {
		line += " " + name
	}
	if err := r.wait("", r.ReadOnlyAll); err != nil {
		r.Say(line + "; nor can it be made read-only: " + err.Error())
		return
	}
	r.Say(line + "; made read-only by force")
}
