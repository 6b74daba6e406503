// Package debkernel fetches Debian's kernel package of another architecture, with apt and without telling the host's
// package manager about that architecture: everything that apt writes goes into a folder of its own.
package debkernel

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/liveboot/liveboot/qemu"
)

// Package is the file of the newest kernel package of an architecture, as Debian names it (arm64), from the cache folder if
// it is there and has the digest that the signed package index gives. It needs the index, so it asks the network each time.
func Package(ctx context.Context, arch string) (string, error) {
	file, err := fetch(ctx, arch)
	if err != nil {
		return "", fmt.Errorf("fetch the kernel package of %s: %w", arch, err)
	}
	return file, nil
}

func fetch(ctx context.Context, arch string) (string, error) {
	cache, err := qemu.CacheDir()
	if err != nil {
		return "", err
	}
	a := apt{dir: filepath.Join(cache, "debkernel", arch)}
	if err := a.configure(arch); err != nil {
		return "", err
	}
	if _, err := a.run(ctx, "apt-get", "update", "-q"); err != nil {
		return "", err
	}
	// The meta package depends on the one with the newest version in its name.
	depends, err := a.run(ctx, "apt-cache", "depends", "--important", "linux-image-"+arch)
	if err != nil {
		return "", err
	}
	name := packageName.FindStringSubmatch(depends)
	if name == nil {
		return "", fmt.Errorf("linux-image-%s depends on no kernel: %s", arch, depends)
	}
	// In a folder that has the file apt would print nothing.
	uri, err := apt{dir: a.dir, work: filepath.Join(a.dir, "cache")}.run(ctx, "apt-get", "download", "-q", "--print-uris", name[1])
	if err != nil {
		return "", err
	}
	d := download.FindStringSubmatch(uri)
	if d == nil {
		return "", fmt.Errorf("apt-get download --print-uris says %q, want a file with its SHA-256", uri)
	}
	file := filepath.Join(a.dir, filepath.Base(d[1]))
	if hasDigest(file, d[2]) {
		return file, nil
	}
	if _, err := a.run(ctx, "apt-get", "download", "-q", name[1]); err != nil {
		return "", err
	}
	if !hasDigest(file, d[2]) {
		return "", fmt.Errorf("%s has not the digest of the package index", file)
	}
	return file, nil
}

var (
	packageName = regexp.MustCompile(`Depends: (linux-image-\S+)`)
	// 'http://.../file.deb' file.deb 59812568 SHA256:...
	download = regexp.MustCompile(`'[^']+' (\S+) \d+ SHA256:([0-9a-f]{64})`)
)

// apt is a private installation of apt's data.
type apt struct {
	dir  string
	work string // where it is run; empty: dir
}

func (a apt) configure(arch string) error {
	for _, sub := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.dir, sub), 0o755); err != nil {
			return err
		}
	}
	config := fmt.Sprintf(`APT::Architecture "%[1]s";
APT::Architectures { "%[1]s"; };
APT::Sandbox::User "root";
Dir::State "%[2]s/state";
Dir::State::status "%[2]s/status";
Dir::Cache "%[2]s/cache";
`, arch, a.dir)
	return errors.Join(
		os.WriteFile(filepath.Join(a.dir, "status"), nil, 0o644),
		os.WriteFile(filepath.Join(a.dir, "apt.conf"), []byte(config), 0o644))
}

func (a apt) run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = cmp.Or(a.work, a.dir)
	cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(a.dir, "apt.conf"), "LC_ALL=C")
	var out, complaints strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, cmp.Or(strings.TrimSpace(complaints.String()), out.String()))
	}
	return out.String(), nil
}

// hasDigest says whether there is a file with this SHA-256.
func hasDigest(file, digest string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return false
	}
	return hex.EncodeToString(h.Sum(nil)) == digest
}
