package initiso

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/liveboot/liveboot/integration/liveiso"
)

const (
	// BareLine starts each line that the bare init writes, "BARE <name>: <value>".
	BareLine = "BARE "
	// BareEnd is its last line.
	BareEnd = "BARE-END"
)

// bareSource is the bare init. It is no Go program: the start of one changes what it was given.
//
//go:embed bare/init.c
var bareSource []byte

// Bare makes a live ISO and an initramfs in the folder dir, both with nothing in them but the same static program, as /sbin/init of the one and as
// /init of the other. It writes what it was given as process 1 on the console and powers the machine off. It needs gcc.
func Bare(ctx context.Context, dir string) (iso, initramfs string, err error) {
	root := filepath.Join(dir, "root")
	program := filepath.Join(root, "sbin", "init")
	for _, folder := range []string{"dev", "proc", "sys", "run", "sbin"} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(root, folder), 0o755))
	}
	if err != nil {
		return "", "", fmt.Errorf("make bare live system: %w", err)
	}
	gcc := exec.CommandContext(ctx, "gcc", "-static", "-O1", "-s", "-x", "c", "-o", program, "-")
	gcc.Stdin = bytes.NewReader(bareSource)
	if out, err := gcc.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("make bare live system: %v: %w: %s", gcc, err, out)
	}
	iso, initramfs = filepath.Join(dir, "bare.iso"), filepath.Join(dir, "initramfs")
	if err := liveiso.Pack(ctx, liveiso.Squashfs, root, 0, iso); err != nil {
		return "", "", fmt.Errorf("make bare live system: %w", err)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return "", "", fmt.Errorf("make bare live system: %w", err)
	}
	var archive bytes.Buffer
	err = cpio.WriteRecordsAndDirs(cpio.Newc.Writer(&archive), []cpio.Record{
		cpio.Directory("dev", 0o755), cpio.Directory("proc", 0o755), cpio.CharDev("dev/console", 0o600, 5, 1),
		cpio.StaticFile("init", string(content), 0o755),
	})
	if err = errors.Join(err, os.WriteFile(initramfs, archive.Bytes(), 0o644)); err != nil {
		return "", "", fmt.Errorf("make bare live system: %w", err)
	}
	return iso, initramfs, nil
}
