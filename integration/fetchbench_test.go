package integration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/qemu"
)

const (
	// fetchRounds is how often all ways to download take turns in the machine, and fetchMiB about how large the image is.
	fetchRounds = 3
	fetchMiB    = 128
	// fetchTime is how long all of them may take under TCG.
	fetchTime = 30 * time.Minute
)

// BenchmarkDownload compares, in a machine with one processor, a download to the RAM disk with what the initramfs of KIWI NG does there, which
// is curl and dd (Debian's). What is reported is how many times as fast ours is, without and with SHA-256: medians of the rounds.
//
//	go test -run '^$' -bench Download ./integration
func BenchmarkDownload(b *testing.B) {
	pair, err := pair()
	if err != nil {
		b.Fatal(err)
	}
	iso := liveISO(b, liveiso.Config{Layout: liveiso.RootfsImage, PadMiB: fetchMiB})
	content, err := os.ReadFile(iso)
	if err != nil {
		b.Fatal(err)
	}
	c := qemu.Config{
		Kernel: filepath.Join(pair, "vmlinuz"), Initrd: fetchInitrd(b, filepath.Join(pair, "initrd")), MemoryMiB: 1024, NICs: []qemu.NIC{{}}, NoReboot: true,
		Append: []string{"console=ttyS0", "quiet", "panic=-1", "rdinit=/fetchguest", "fetchguest.url=" + nginx(b, iso, nil),
			fmt.Sprintf("fetchguest.sha256=%x", sha256.Sum256(content)), fmt.Sprintf("fetchguest.rounds=%d", fetchRounds)},
	}
	line, failed := regexp.MustCompile(`fetchguest: (\S+) (\d+\.\d+)$`), regexp.MustCompile(`fetchguest: failed: .*`)
	took := map[string][]float64{}
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), fetchTime)
		m := &machine{VM: qemu.Start(b, c), t: b, ctx: ctx}
		for range 3 * fetchRounds {
			match := m.see(line, failed)
			seconds, err := strconv.ParseFloat(match.Groups[2], 64)
			if err != nil {
				b.Fatal(err)
			}
			took[match.Groups[1]] = append(took[match.Groups[1]], seconds)
		}
		m.exits("guest-shutdown")
		cancel()
	}
	var rates, plain, verified []float64
	for i, curl := range took["curl-dd"] {
		rates = append(rates, float64(len(content))/(1<<20)/took["plain"][i])
		plain, verified = append(plain, curl/took["plain"][i]), append(verified, curl/took["sha256"][i])
	}
	b.ReportMetric(fetchMedian(plain), "x-curl-dd")
	b.ReportMetric(fetchMedian(verified), "sha256-x-curl-dd")
	b.ReportMetric(fetchMedian(rates), "MiB/s")
}

func fetchMedian(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// fetchInitrd puts fetchguest, curl and dd before the files of an initrd.
func fetchInitrd(b *testing.B, initrd string) string {
	b.Helper()
	dir := b.TempDir()
	guest := filepath.Join(dir, "fetchguest")
	build := exec.CommandContext(b.Context(), "go", "build", "-o", guest, "./fetchguest")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("go build ./fetchguest: %v\n%s", err, out)
	}
	records := []cpio.Record{cpio.CharDev("dev/console", 0o600, 5, 1), fetchFile(b, guest, "fetchguest")}
	seen := map[string]bool{}
	for _, program := range []string{needs.Program(b, "curl", "curl"), needs.Program(b, "dd", "coreutils")} {
		for _, file := range append(fetchLibraries(b, program), program) {
			if name := strings.TrimPrefix(file, "/"); !seen[name] {
				seen[name] = true
				records = append(records, fetchFile(b, file, name))
			}
		}
	}
	var archive bytes.Buffer
	w := cpio.Newc.Writer(&archive)
	if err := cpio.WriteRecords(w, withFolders(records)); err != nil {
		b.Fatal(err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		b.Fatal(err)
	}
	// The next archive has to begin at a multiple of four bytes (Documentation/driver-api/early-userspace/buffer-format.rst).
	archive.Write(make([]byte, (4-archive.Len()%4)%4))
	rest, err := os.ReadFile(initrd)
	if err != nil {
		b.Fatal(err)
	}
	archive.Write(rest)
	file := filepath.Join(dir, "initrd")
	if err := os.WriteFile(file, archive.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
	return file
}

func fetchFile(b *testing.B, file, name string) cpio.Record {
	b.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	return cpio.StaticFile(name, string(content), 0o755)
}

// fetchLibraries are the files that the dynamic linker loads for a program, and the linker itself.
func fetchLibraries(b *testing.B, program string) []string {
	b.Helper()
	out, err := exec.CommandContext(b.Context(), "ldd", program).Output()
	if err != nil {
		b.Fatalf("ldd %s: %v", program, err)
	}
	var files []string
	for word := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(word, "/") {
			files = append(files, word)
		}
	}
	return files
}
