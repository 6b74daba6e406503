package plan_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/boot"
	"github.com/liveboot/liveboot/pkg/cmdline"
	"github.com/liveboot/liveboot/pkg/deploy"
	"github.com/liveboot/liveboot/pkg/device/disk"
	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/fetch/dolly"
	"github.com/liveboot/liveboot/pkg/fetch/ftp"
	"github.com/liveboot/liveboot/pkg/fetch/httpx"
	"github.com/liveboot/liveboot/pkg/fetch/tftp"
	"github.com/liveboot/liveboot/pkg/handoff"
	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/pkg/live"
	"github.com/liveboot/liveboot/pkg/mediacheck"
	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/overlay"
	"github.com/liveboot/liveboot/pkg/plan"
	"github.com/liveboot/liveboot/pkg/target"
)

// A trouble is a failure that people see, with an error as the program makes it.
type trouble struct {
	stage plan.Stage
	err   error
	means string
	// words are the error's where it can only be made by its own package, or is longer than anybody reads: a piece of text in the source,
	// with … behind it where more follows.
	words string
	// hint is the sentence where it is none of boot.Hint's: a piece of text in the source.
	hint string
}

// says is what stands on the screen, with … in place of what differs.
func (t trouble) says() string {
	words := t.words
	if words == "" {
		words = strings.ReplaceAll(t.err.Error(), "<nil>", "…")
	}
	return fmt.Sprintf("%s FAILED: … %s", t.stage, words)
}

// does is what stands behind "hint:" on the screen.
func (t trouble) does() string {
	if t.hint != "" {
		return t.hint
	}
	return boot.Hint(&boot.StageError{Stage: t.stage, Err: t.err})
}

// mistake is the error of a kernel line.
func mistake(line string) error {
	_, err := plan.Parse(cmdline.Parse("root=live:http://a/b.iso " + line))
	return err
}

// firstTroubles are those before the network is there.
func firstTroubles() []trouble {
	const append = "nothing was touched; mend the append line on the boot server"
	_, missing := module.Open("/nonexistent", "6.1.0-56-amd64", nil, module.Options{})
	return []trouble{
		{stage: "plan", err: mistake("rd.liveboot.sha265=0"), means: "A mistyped option that must not be ignored.", hint: append},
		{stage: "plan", err: mistake("rd.live.overlay.cowfs=btrfs"), means: "An option's value is wrong; all mistakes are listed.", hint: append},
		{stage: "start", words: "start the boot process …", means: "A machine with too little memory to begin with.",
			hint: "process 1 could not start its own program once more; is there memory left?"},
		{stage: plan.Devices, err: missing, words: "the image holds no modules of the running kernel …", means: "The kernel is another one than the initrd was made for."},
		{stage: plan.Devices, err: module.ErrNotFound, means: "A driver or a file system that the boot needs is not in the initrd."},
		{stage: plan.Network, err: errors.New("no link"), words: "no link …", means: "There is no network card, or none that a driver in the initrd knows."},
		{stage: plan.Network, err: errors.New("no carrier"), words: "no carrier …", means: "No cable is in any of the cards, or the switch port is off."},
		{stage: plan.Network, err: errors.New("no address"), words: "no address …", means: "No DHCP server answered. The line says of every card how far it got."},
		{stage: plan.Network, err: network.ErrNoAnswer, means: "There are addresses, but none of them leads to the image's server."},
	}
}

// fetchTroubles are those of the download.
func fetchTroubles() []trouble {
	digest := func(hex string) fetch.Digest { return fetch.Digest{Algorithm: "sha256", Hex: hex + "…"} }
	expired := x509.CertificateInvalidError{Reason: x509.Expired, Cert: &x509.Certificate{}, Detail: "…"}
	early := expired
	early.Cert = &x509.Certificate{NotBefore: time.Now().AddDate(1, 0, 0)}
	other := x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"a.example"}}, Host: "b.example"}
	answered := func(code int, status string) error { return &httpx.StatusError{Code: code, Status: status} }
	return []trouble{
		{err: &net.DNSError{Err: "no such host", Name: "boot.example"}, means: "The server's name is not known."},
		{err: unix.ECONNREFUSED, means: "The server's machine is up, but not the server."},
		{err: unix.EHOSTUNREACH, means: "There is no way to the server's network, or the server is off."},
		{err: os.ErrDeadlineExceeded, means: "Packets get lost on the way."},
		{err: answered(404, "404 Not Found"), means: "The image is not there."},
		{err: answered(403, "403 Forbidden"), means: "The image is there, and not for everybody."},
		{err: answered(503, "503 Service Unavailable"), means: "The server has trouble of its own."},
		{err: &httpx.RedirectError{}, words: "the server redirects from https to http …", means: "A redirect that is not followed; the line says where it leads to."},
		{err: &ftp.ReplyError{Command: "RETR", Code: 550, Text: "Failed to open file."}, means: "An FTP server refuses."},
		{err: &tftp.ReplyError{Code: 1, Text: "File not found"}, means: "A TFTP server refuses."},
		{err: &dolly.WaitError{For: 3 * time.Minute}, means: "Nobody began a ring of dolly in the time that `-a` gives."},
		{err: &dolly.LostError{Parent: "node 3, 192.0.2.13", Received: 104857600, Total: -1, Err: errors.New("it closed the connection")}, words: "is gone after …",
			means: "A machine before this one in the ring is gone, and there was no time for another ring."},
		{err: early, means: "To this machine the server's certificate lies in the future."},
		{err: expired, means: "The server's certificate has run out."},
		{err: x509.UnknownAuthorityError{}, means: "Nobody known to the image vouches for the server."},
		{err: other, means: "The certificate is another server's."},
		{err: &tls.CertificateVerificationError{Err: errors.New("…")}, means: "Something else is wrong with the certificate."},
		{err: &fetch.StallError{For: 30 * time.Second}, means: "The download stopped for too long, and so did each new attempt."},
		{err: &fetch.MaxTimeError{Limit: time.Hour}, means: "The limit that was set for the download is over."},
		{err: io.ErrUnexpectedEOF, means: "The download could not be taken up where it broke."},
		{err: &target.TruncatedError{Volume: 389283840, Received: 194641920}, means: "The file on the server ends too early."},
		{err: &fetch.UnframedError{}, means: "An old or odd server."},
		{err: &fetch.DigestError{Want: digest("9f86"), Got: digest("60303a")}, means: "The file is not the one that the digest was made of."},
		{err: &fetch.SignatureError{Err: errors.New("…")}, words: "verify the signature of …", means: "The image is not signed by a key that this initrd trusts."},
		{err: &boot.ManifestError{Err: errors.New("…")}, words: "the manifest …", means: "The image is streamed, and what its parts are to be verified by is missing, or is not this image's; the end of the line says which."},
		{err: &boot.UnverifiableError{Why: "…"}, means: "The image is to be verified part by part, as only a streamed one can be; the end of the line says why this one cannot be streamed."},
		{err: iso.ErrNotISO, means: "Something else was downloaded."},
		{err: unix.ENOSPC, means: "An image of which the size was not known turned out to be too large."},
	}
}

// diskTroubles are those of the device that holds the image.
func diskTroubles() []trouble {
	sda := disk.Device{Name: "sda", Path: "/dev/sda", Size: 8 << 30}
	return []trouble{
		{err: &target.TooLargeError{Image: 3 << 30, Room: 2 << 30, Memory: true}, means: "The image does not fit into memory. Nothing was downloaded."},
		{err: &target.TooLargeError{Image: 3 << 30, Room: 2 << 30}, means: "The RAM disk was given a size that is too small. Nothing was downloaded."},
		{err: &disk.NotFoundError{Name: "/dev/sdb", Devices: []disk.Device{sda}}, means: "The disk is not there; the line lists those that are."},
		{err: &boot.ForeignDiskError{Disk: sda, Finding: deploy.Finding{What: "a GPT partition table"}}, means: "The disk is not blank and holds no image of ours."},
		{err: &deploy.SpaceError{Disk: 1 << 30, Image: 3 << 30, Needed: 4 << 30}, means: "Nothing was written."},
		{err: &deploy.CompareError{Offset: 1 << 20}, means: "What was written could not be read back."},
		{err: &boot.OtherImageError{Disk: "/dev/sda", Has: "sha256 9f86…", Wanted: "sha256 60303a…"}, means: "There is a newer image than the one on the disk, or an older one."},
		{err: &boot.NoFileError{Path: "/iso/live.iso"}, means: "The boot loader found the ISO's file, and the kernel does not see its file system."},
		{err: &boot.NotKeptError{}, words: "cannot be written to", means: "A medium that was written once, a CD for example."},
		{err: iso.ErrNotISO, means: "The device or the file is there, and something else."},
		{err: unix.EBUSY, means: "Something has the disk already."},
		{err: &fs.PathError{Op: "write", Path: "/dev/sda", Err: unix.EIO}, means: "The disk reports an error."},
	}
}

// liveTroubles are those of the live system.
func liveTroubles() []trouble {
	return []trouble{
		{stage: plan.Live, err: &live.NoRootError{VolumeID: "DATA", Missing: "it has no file LiveOS/squashfs.img"}, means: "An ISO, but none with a live system as KIWI lays it out."},
		{stage: plan.Live, err: unix.EIO, means: "The image cannot be read where it lies."},
		{stage: plan.Live, err: errors.New("…"), words: "mount the container …", means: "The kernel refuses a file system in the image."},
		{stage: plan.Overlay, err: &overlay.LayerError{Layer: overlay.Layer{Device: "/dev/sda3", FileSystem: "ext4"}}, means: "The partition that keeps the changes is damaged."},
		{stage: plan.Overlay, err: &deploy.OccupiedError{Behind: "partition 3"}, means: "A partition that keeps changes is damaged, or somebody else's."},
		{stage: plan.Overlay, err: errors.New("…"), words: "mount the root …", means: "The kernel refuses the writable layer."},
		{stage: plan.Live, err: mediacheck.ErrNone, words: "the image has no checksum in it …", means: "rd.live.check asks for what the image has not."},
		{stage: plan.Live, err: &mediacheck.MismatchError{}, words: "check the image on …", means: "The image is not as its maker made it."},
		{
			stage: plan.Handoff, err: &boot.KernelError{}, words: "start the image's own kernel …", means: "The image's own kernel is needed, or was demanded by rd.liveboot.handoff=kexec, and cannot be started; the end of the line says why.",
		},
		{
			stage: plan.Handoff, err: &fetch.DigestError{Want: fetch.Digest{Algorithm: "sha256", Hex: "9f86…"}, Got: fetch.Digest{Algorithm: "sha256", Hex: "60303a…"}},
			means: "All of an image that was streamed arrived before the live system was started, and it is not the one that the digest was made of.",
		},
		{stage: plan.Handoff, err: &handoff.InitError{Path: "/sbin/init"}, means: "The live system cannot start."},
		{stage: plan.Handoff, words: "switch root …", means: "It happened after the last point of return.",
			hint: "the initramfs may be gone already; if there is no shell, the machine starts again"},
		{stage: "boot", words: "was killed by signal …", means: "More memory was needed than there is.",
			hint: "the kernel ran out of memory: give the machine more memory, or use a smaller image"},
		{stage: "boot", words: "crashed", means: "A mistake in liveboot. Process 1 goes on, so that a shell and a reboot are offered.",
			hint: "what it wrote before its end is above; please report it as a bug"},
	}
}

// troubles are all, in the order in which a boot meets them.
func troubles() []trouble {
	in := func(stage plan.Stage, all []trouble) []trouble {
		for i := range all {
			all[i].stage = stage
		}
		return all
	}
	return slices.Concat(firstTroubles(), in(plan.Fetch, fetchTroubles()), in(plan.Target, diskTroubles()), liveTroubles())
}

// diagnostics is the table of what the screen says.
func diagnostics() string {
	var b strings.Builder
	b.WriteString("| the screen says | it means | what to do |\n| --- | --- | --- |\n")
	for _, t := range troubles() {
		cells := []string{"`" + t.says() + "`", t.means, upper(t.does())}
		for i, cell := range cells {
			cells[i] = strings.NewReplacer("|", `\|`, "\n", " ", "<url>", "`<url>`", "<name>", "&lt;name&gt;").Replace(cell)
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	return b.String()
}

// upper begins a sentence.
func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// TestDiagnosticsAreComplete: what the program can hint at is told, and what is told is in the program.
func TestDiagnosticsAreComplete(t *testing.T) {
	told := map[string]bool{}
	for _, row := range troubles() {
		if row.does() == "" {
			t.Errorf("Hint(%s) = nothing, want what to do", row.says())
		}
		told[row.does()] = true
	}
	for _, sentence := range hints(t) {
		if !told[sentence] {
			t.Errorf("a hint of pkg/boot is in no row of the troubles, add one: %q", sentence)
		}
	}
	literals := literals(t, "../..")
	for _, row := range troubles() {
		for _, text := range []string{row.words, row.hint} {
			text = strings.TrimSuffix(text, " …")
			if !slices.ContainsFunc(literals, func(s string) bool { return strings.Contains(s, text) }) {
				t.Errorf("%q is not what the program says", text)
			}
		}
	}
}

// hints are the sentences in the rows of the function hints.
func hints(t *testing.T) []string {
	t.Helper()
	var all []string
	constants := map[string]string{}
	ast.Inspect(parse(t, "../boot/hint.go"), func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			if len(n.Names) == 1 && len(n.Values) == 1 {
				constants[n.Names[0].Name] = text(n.Values[0], constants)
			}
		case *ast.CompositeLit:
			if n.Type == nil && len(n.Elts) == 2 {
				all = append(all, text(n.Elts[1], constants))
			}
		}
		return true
	})
	if len(all) < 30 || slices.Contains(all, "") {
		t.Fatalf("hints of pkg/boot = %q, want at least 30, each with a sentence", all)
	}
	return all
}

// text is the value of an expression of texts, "" for another.
func text(e ast.Expr, constants map[string]string) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, _ := strconv.Unquote(e.Value) // of a number nothing
		return s
	case *ast.BinaryExpr:
		return text(e.X, constants) + text(e.Y, constants)
	case *ast.Ident:
		return constants[e.Name]
	}
	return ""
}

// literals are all texts in the source of the programs, without that of tests.
func literals(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"pkg/*/*.go", "pkg/*/*/*.go", "cmds/liveboot/*.go"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			ast.Inspect(parse(t, name), func(n ast.Node) bool {
				if e, ok := n.(*ast.BasicLit); ok && e.Kind == token.STRING {
					all = append(all, text(e, nil))
				}
				return true
			})
		}
	}
	return all
}

func parse(t *testing.T, name string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
