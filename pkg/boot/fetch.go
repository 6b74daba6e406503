package boot

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/fetch/decompress"
	"github.com/liveboot/liveboot/pkg/fetch/signature"
	"github.com/liveboot/liveboot/pkg/fetch/template"
	"github.com/liveboot/liveboot/pkg/kernel/memory"
	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/plan"
	"github.com/liveboot/liveboot/pkg/target"
)

// open asks for the image.
func (b *run) open(ctx context.Context) (*fetch.Stream, string, error) {
	source, err := b.source()
	if err != nil {
		return nil, "", err
	}
	image, err := fetch.Open(ctx, source, fetch.Environment{Roots: b.Root, Report: b.tellFetch, Decompress: b.decompress, Hash: b.hash})
	if err != nil {
		return nil, "", err
	}
	b.report.Image.URL, b.report.Image.Size = image.URL.String(), image.Size
	what := image.URL.String()
	if image.Compression != "" {
		what += ", compressed with " + image.Compression
	}
	if _, size := image.Received(); size >= 0 {
		return image, fmt.Sprintf("%s, %s", what, target.MiB(size)), nil
	}
	return image, what + ", of unknown size", nil
}

// source fills in what the plan could not know: the machine's names in the addresses, and the keys of the image.
func (b *run) source() (fetch.Source, error) {
	source := b.plan.Image
	if source.Digest == (fetch.Digest{}) {
		source.Digest = b.trusted.listed() // where the image is not streamed after all
	}
	primary := b.network.Primary()
	lease := primary.Leases[0]
	urls, err := located(b.plan, lease)
	if err != nil {
		return source, err
	}
	source.URLs = nil
	facts := template.Facts{
		MAC: primary.Link.MAC.String(), IP: lease.Address.Addr(), Hostname: hostname(b.plan.Network, lease), Arch: machineName(), Kernel: b.Release,
	}
	for _, u := range urls {
		if !template.Uses(string(u)) {
			source.URLs = append(source.URLs, u)
			continue
		}
		if err := template.ReadFirmware(b.Sys, &facts); err != nil {
			b.ui.Debugf("%v", err) // what the address needs of it, Expand says
		}
		expanded, err := template.Expand(string(u), facts)
		if err != nil {
			return source, fmt.Errorf("the address of the image: %w", err)
		}
		source.URLs = append(source.URLs, fetch.URL(expanded))
	}
	keys, err := b.keys()
	if err != nil {
		return source, err
	}
	if len(keys) > 0 {
		source.Signature = verifier{keys}
	}
	return source, nil
}

func hostname(n network.Config, lease network.Lease) string {
	if n.Hostname != "" {
		return n.Hostname
	}
	return lease.Hostname
}

// machineName is what uname -m prints.
func machineName() string {
	if name, ok := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]; ok {
		return name
	}
	return runtime.GOARCH
}

// keyFolder holds a site's public keys in the image. Where there is one, an image must be signed by it.
const keyFolder = "etc/liveboot/keys"

// keys returns those whose signature is asked for: the one that rd.liveboot.key= gives or names, else those of the image.
func (b *run) keys() ([]signature.Key, error) {
	if given := b.plan.Key; given != "" && !strings.HasPrefix(given, "/") {
		key, err := signature.ParseKey([]byte(given))
		return []signature.Key{key}, err
	}
	var files []string
	if b.plan.Key != "" {
		files = []string{b.plan.Key}
	} else {
		entries, err := os.ReadDir(filepath.Join(b.Root, keyFolder))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			files = append(files, filepath.Join(keyFolder, e.Name()))
		}
	}
	var keys []signature.Key
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(b.Root, name))
		if err != nil {
			return nil, fmt.Errorf("public key: %w", err)
		}
		key, err := signature.ParseKey(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// A verifier is content with a signature by any of its keys.
type verifier struct{ keys []signature.Key }

// Verify looks for the signatures that the keys could have made, beside the file.
func (v verifier) Verify(file []byte, get func(suffix string) ([]byte, error)) error {
	var errs []error
	var suffixes []string
	for _, key := range v.keys {
		for _, suffix := range key.Suffixes() {
			if !slices.Contains(suffixes, suffix) {
				suffixes = append(suffixes, suffix)
			}
			sig, err := get(suffix)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil {
				err = key.Verify(file, sig, time.Now())
			}
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		return fmt.Errorf("it is not signed: there is no file with %s behind its name", strings.Join(suffixes, " or "))
	}
	return errors.Join(errs...)
}

// hash returns the kernel's hash where that is faster than Go's.
func (b *run) hash(algorithm string) hash.Hash {
	ours := map[string]func() hash.Hash{"sha256": sha256.New, "sha512": sha512.New}[algorithm]
	if ours == nil {
		return nil
	}
	return b.hashes.Choose(algorithm, ours())
}

// decompressShare of the memory that is available may be taken for blocks that are unpacked side by side.
const decompressShare = 8

// decompress unpacks what is compressed.
func (b *run) decompress(r io.Reader, _ string) (io.Reader, string, error) {
	options := decompress.Options{Memory: decompress.DefaultMemory}
	if info, err := memory.Read(b.Proc); err == nil {
		options.Memory = max(min(options.Memory, info.Available/decompressShare), 1)
	}
	d, err := decompress.New(r, options)
	if err != nil {
		return nil, "", err
	}
	return d, d.Format(), nil
}

// tellFetch tells people what happens to the download.
func (b *run) tellFetch(e fetch.Event) {
	switch e := e.(type) {
	case fetch.DigestFound, fetch.DigestIgnored:
		b.ui.Debugf("fetch: %v", e)
	case fetch.RingEvent:
		b.tellRing(e)
	case fetch.Spread:
		b.ui.Stagef(string(plan.Fetch), "%v", e)
	default:
		b.ui.Warnf("fetch: %v", e)
	}
}

// A filler takes an image.
type filler interface {
	Fill(context.Context, io.Reader) (int64, error)
}

func (b *run) fill(ctx context.Context, disk filler, image *fetch.Stream) (int64, string, error) {
	began := b.Uptime()
	stop := b.showProgress(plan.Fetch, image.Received)
	n, err := disk.Fill(ctx, image)
	stop()
	if err != nil {
		return n, "", err
	}
	took := b.Uptime() - began
	b.report.Image.downloaded(n, took, image.Verified())
	what := fmt.Sprintf("%s in %.1f s, %.1f MiB/s", target.MiB(n), took.Seconds(), b.report.Image.Rate/(1<<20))
	if d := image.Verified(); d != (fetch.Digest{}) {
		what += ", " + d.Algorithm + " is right"
	}
	return n, what, nil
}
