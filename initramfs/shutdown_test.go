package initramfs

import (
	"io"
	"testing"

	"github.com/liveboot/liveboot/pkg/handoff"
	"github.com/u-root/mkuimage/cpio"
)

// shutdownLimit is what the program may take of the live system's memory, in bytes.
const shutdownLimit = 1_400_000

func TestAddShutdown(t *testing.T) {
	source, err := FindSource("")
	if err != nil {
		t.Fatal(err)
	}
	tools, err := findToolchain(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range archs() {
		t.Run(to.goarch, func(t *testing.T) {
			var built []string
			for range 2 {
				a := newArchive()
				if err := a.addShutdown(t.Context(), source, t.TempDir(), to, tools); err != nil {
					t.Fatal(err)
				}
				r, ok := a.records[cpio.Normalize(handoff.ShutdownProgram)]
				if !ok || r.Mode != cpio.S_IFREG|0o755 {
					t.Fatalf("the archive holds %+v, want %s of mode 0755", r.Info, handoff.ShutdownProgram)
				}
				content, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
				if err != nil {
					t.Fatal(err)
				}
				built = append(built, string(content))
			}
			if built[0] != built[1] {
				t.Error("two builds of the same source differ")
			}
			checkBinary(t, []byte(built[0]))
			if len(built[0]) > shutdownLimit {
				t.Errorf("the program has %d bytes, want at most %d: does it import fmt, os or time?", len(built[0]), shutdownLimit)
			}
		})
	}
}
