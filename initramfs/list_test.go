package initramfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/kernelmodules/depmod/depmodtest"
)

func TestList(t *testing.T) {
	root := fakeMachine(t, "CONFIG_RD_ZSTD=y\n")
	c := smallConfig(t, root)
	c.Drivers, c.NoDrivers = []string{"ath9k"}, []string{"drivers/net/ethernet/..."}
	write(t, filepath.Join(root, "lib/modules/6.1.0-56-amd64/kernel/drivers/block/brd.ko"), depmodtest.Module("firmware=a.bin", "firmware=b.bin"))
	write(t, filepath.Join(root, "lib/firmware/a.bin"), []byte("fw"))
	m, err := List(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := m.WriteList(&text); err != nil {
		t.Fatal(err)
	}
	fields := strings.Join(strings.Fields(text.String()), " ")
	for _, want := range []string{
		"ath9k kernel/drivers/net/wireless/ath/ath9k/ath9k.ko -drivers ath9k",
		"brd kernel/drivers/block/brd.ko rule drivers/block/brd",
		"jbd2 kernel/fs/jbd2/jbd2.ko needed by ext4",
		"modules of kernel 6.1.0-56-amd64",
		"2 a.bin firmware named by brd",
		"- b.bin missing firmware named by brd",
	} {
		if !strings.Contains(fields, want) {
			t.Errorf("WriteList() lacks %q:\n%s", want, &text)
		}
	}
	if strings.Contains(fields, "r8169") {
		t.Errorf("WriteList() has r8169, which was to be left out:\n%s", &text)
	}
	if want := "1 firmware files, 0.00 MB; 1 that drivers name are not there (-list shows them)"; m.FirmwareLine() != want {
		t.Errorf("FirmwareLine() = %q, want %q", m.FirmwareLine(), want)
	}
	if _, err := os.Stat(c.Output); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("List() wrote something: %v", err)
	}
	c.Drivers = []string{"ath8k"}
	if _, err := List(t.Context(), c); !errorContains(err, "did you mean ath9k?") || !errorContains(err, "list drivers: ") {
		t.Errorf("List(mistyped) = %v, want the nearest", err)
	}
}
