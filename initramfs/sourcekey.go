package initramfs

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// goPackage is what the go command says about a package, as far as it
// decides what is compiled.
type goPackage struct {
	ImportPath string
	Dir        string
	Standard   bool
	Module     *struct {
		Path, Version string
		Replace       *struct{ Path, Version string }
	}
	GoFiles, SFiles, HFiles, EmbedFiles []string
}

// sourceKey is a hash of everything that the compiled commands depend on:
// toolchain, settings, and the source of each package in the set, of the
// shutdown program, of this package (it generates source) and of all they import.
func sourceKey(ctx context.Context, source string, a arch, tools toolchain, c commandSet) ([sha256.Size]byte, error) {
	args := []string{"list", "-deps", "-tags=" + strings.Join(goTags(), ","),
		"-json=ImportPath,Dir,Standard,Module,GoFiles,SFiles,HFiles,EmbedFiles", modulePath + "/initramfs", shutdownPackage}
	cmd := exec.CommandContext(ctx, filepath.Join(tools.GOROOT, "bin", "go"), append(args, c.packages...)...)
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+a.goarch, "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return [sha256.Size]byte{}, fmt.Errorf("list the source of the image's commands: %w%s", err, stderrOf(err))
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q\n%q\n%q\n%q\n%q\n", a.goarch, a.goEnv, tools.GOVERSION, busyboxFlags(), c)
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return [sha256.Size]byte(h.Sum(nil)), nil
		} else if err != nil {
			return [sha256.Size]byte{}, fmt.Errorf("list the source of the image's commands: %w", err)
		}
		if err := p.hash(h); err != nil {
			return [sha256.Size]byte{}, err
		}
	}
}

// hash writes what identifies a package's source: for one of a released
// module its version, which go.sum ties to its content, else the files.
func (p goPackage) hash(w io.Writer) error {
	fmt.Fprintf(w, "%q\n", p.ImportPath)
	switch {
	case p.Standard:
		return nil // the toolchain's version covers it
	case p.Module != nil && p.Module.Version != "" && p.Module.Replace == nil:
		fmt.Fprintf(w, "%q\n", p.Module.Version)
		return nil
	}
	for _, name := range slices.Concat(p.GoFiles, p.SFiles, p.HFiles, p.EmbedFiles) {
		b, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			return fmt.Errorf("read source: %w", err)
		}
		fmt.Fprintf(w, "%q %x\n", name, sha256.Sum256(b))
	}
	return nil
}
