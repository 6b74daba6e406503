package integration

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
)

// obedient are the live ISOs whose process 1 does what the console tells it (integration/streamguest), each made once. Their files are noise:
// 12 MiB of them in the root, and the rest beside it.
var (
	obedientTiny  = sync.OnceValues(func() (obedient, error) { return newObedient("tiny", 0) })
	obedientSmall = sync.OnceValues(func() (obedient, error) { return newObedient("small", 48) })
	obedientLarge = sync.OnceValues(func() (obedient, error) { return newObedient("large", 320) })
)

// obedientWords make process 1 of such a system obey.
const obedientWords = " -- second"

// An obedient is such an ISO.
type obedient struct {
	file string
	size int64
	// sha256 of it, and what process 1 says of the root when it is told "tree".
	sha256, tree string
}

// Of the files in the root.
const (
	obedientFiles = 24
	obedientFile  = 512 << 10 // in bytes
)

func newObedient(name string, padMiB int) (o obedient, err error) {
	dir := filepath.Join(workDir(), "obedient-"+name)
	root := filepath.Join(dir, "root")
	for _, folder := range []string{"dev", "proc", "sys", "run", "tmp", "etc", "usr/sbin", "usr/share"} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			return o, err
		}
	}
	if err := os.Symlink("usr/sbin", filepath.Join(root, "sbin")); err != nil {
		return o, err
	}
	init := filepath.Join(root, "usr/sbin/init")
	if err := compileGuest(init, "./streamguest"); err != nil {
		return o, err
	}
	noise := rand.NewChaCha8([32]byte{'o', 'b', 'e', 'y'})
	content := make([]byte, obedientFile)
	for i := range obedientFiles {
		_, _ = noise.Read(content) // it always fills the slice
		if err := os.WriteFile(filepath.Join(root, "usr/share", fmt.Sprintf("noise%02d", i)), content, 0o644); err != nil {
			return o, err
		}
	}
	if o.tree, err = treeSum(root); err != nil {
		return o, err
	}
	o.file = filepath.Join(dir, "live.iso")
	if err := liveiso.Pack(buildContext(), liveiso.Squashfs, root, padMiB, o.file); err != nil {
		return o, err
	}
	image, err := os.ReadFile(o.file)
	o.size, o.sha256 = int64(len(image)), digest(image)
	return o, err
}

// compileGuest compiles one of the programs that run in a guest.
func compileGuest(to, folder string) error {
	cmd := exec.CommandContext(buildContext(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", to, folder)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", cmd, err, out)
	}
	return nil
}

// treeSum is what streamguest says of a root with the files of a folder.
func treeSum(folder string) (string, error) {
	h, files := sha256.New(), 0
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		fmt.Fprintln(h, "/run/overlay/rootfsbase"+strings.TrimPrefix(path, folder))
		_, err = h.Write(content)
		return err
	})
	return fmt.Sprintf("%x %d files", h.Sum(nil), files), err
}

// made is an obedient, or the end of the test.
func made(t *testing.T, which func() (obedient, error)) obedient {
	t.Helper()
	notShort(t)
	o, err := which()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// lives waits until the live system takes commands.
func (m *machine) lives() {
	m.t.Helper()
	m.see(regexp.MustCompile(`streamguest: switched`), anyFailure())
}

// arrives waits until a live system says that its image is complete.
func (m *machine) arrives() { m.t.Helper(); m.see(arrived(), streamFailed()) }

// reads makes sure that all files of the root are as they should be, whether the kernel remembers them or not.
func (m *machine) reads(o obedient) {
	m.t.Helper()
	for range 2 {
		if got := m.ask("tree", `tree (\S+ \d+ files)`); got != o.tree {
			m.t.Errorf("the files of the root are %s, want %s", got, o.tree)
		}
		m.ask("drop", "dropped()")
	}
}

// readsAll makes sure that every byte of the image is as it should be.
func (m *machine) readsAll(o obedient) {
	m.t.Helper()
	if got := m.ask("device", `device (\S+) `); got != o.sha256 {
		m.t.Errorf("the device has the SHA-256 %s, want %s", got, o.sha256)
	}
}

// state is which device is beneath that of the image, and what there is of the streaming process.
func (m *machine) state() string { m.t.Helper(); return m.ask("state", "state (.*);") }

// ends has the machine powered off, and makes sure that nothing was wrong with its disks and its memory.
func (m *machine) ends() {
	m.t.Helper()
	m.enter("off")
	m.exits("guest-shutdown")
	m.neverSaid(diskTrouble())
}

// arrived is the line of a live system whose image is complete.
func arrived() *regexp.Regexp { return regexp.MustCompile(`liveboot: the image is complete: .*`) }

// diskTrouble is what the kernel says of devices that do not give what is asked for, and of too little memory.
func diskTrouble() *regexp.Regexp {
	return regexp.MustCompile(`I/O error|SQUASHFS error|EXT4-fs error|isofs_\w+:|Out of memory|invoked oom-killer|blocked for more than`)
}

// streamLine is a line of the kernel's log about the stream; what is an expression.
func streamLine(what string) *regexp.Regexp {
	return regexp.MustCompile(`liveboot: (?:warning: )?stream: .*` + what)
}
