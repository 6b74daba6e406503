package fetch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// A Verifier decides whether the file that holds a digest is to be trusted.
type Verifier interface {
	// Verify looks at the file. fetch gets another file from beside it, whose name is that of the file and suffix (".minisig", ".asc");
	// its error is fs.ErrNotExist if there is none. Verify returns an error unless the file is signed by who must have signed it.
	Verify(file []byte, fetch func(suffix string) ([]byte, error)) error
}

// maxDigestFile in bytes: enough for a list of some hundred images.
const maxDigestFile = 64 << 10

// chooseDigest decides what a generation that begins at m is compared with: the digest that the source names, else the one beside m's
// image, else one that was found before, beside another copy of it.
func (d *download) chooseDigest(m *mirror) error {
	d.want = d.source.Digest
	if m.scheme.pushes {
		if d.source.Signature != nil {
			return &SignatureError{m.url, errors.New("a server that pushes the image has nothing beside it that could be signed")}
		}
		if d.want == (Digest{}) {
			d.want = d.found
		}
		return nil
	}
	if d.want != (Digest{}) && d.source.Signature == nil {
		return nil
	}
	if m.beside == nil || m.besideFor != d.generation {
		found, err := d.findDigest(m)
		if err != nil {
			return err
		}
		m.beside, m.besideFor = &found, d.generation
	}
	if *m.beside != (Digest{}) {
		d.found = *m.beside
	}
	d.want = d.found
	return nil
}

// findDigest looks for a digest beside the image; the zero Digest says that there is none.
func (a *asker) findDigest(m *mirror) (Digest, error) {
	algorithms := []string{"sha256", "sha512"}
	if named := a.source.Digest.Algorithm; named != "" {
		algorithms = []string{named} // what is signed must be comparable with what is named
	}
	for _, algorithm := range algorithms {
		at, err := m.url.withSuffix("." + algorithm)
		if err != nil {
			return Digest{}, err
		}
		data, err := a.beside(at, maxDigestFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if reason := noDigestFile(data, err); reason != nil && a.source.Signature == nil {
			a.report(DigestIgnored{URL: at, Cause: reason})
			continue
		}
		if err != nil {
			return Digest{}, besideError(at, err)
		}
		digest, err := parseDigestFile(algorithm, data, m.url.base())
		if err != nil {
			return Digest{}, &digestFileError{at, err}
		}
		if err := a.verify(at, data, digest); err != nil {
			return Digest{}, err
		}
		a.report(DigestFound{URL: at, Digest: digest, Signed: a.source.Signature != nil})
		return digest, nil
	}
	if a.source.Signature != nil {
		return Digest{}, &SignatureError{m.url, fmt.Errorf("there is no .%s beside it that could be signed", strings.Join(algorithms, " or ."))}
	}
	return Digest{}, nil
}

// noDigestFile tells why what a server sent in the place of a digest is none: some have an answer, and no error, for every address.
func noDigestFile(data []byte, err error) error {
	var long *tooLongError
	switch {
	case errors.As(err, &long):
		return long
	case bytes.HasPrefix(bytes.TrimSpace(data), []byte("<")):
		return errors.New("it is a page for people")
	case bytes.IndexByte(data, 0) >= 0:
		return errors.New("it is no text")
	}
	return nil
}

// beside gets a small file. Its error is fs.ErrNotExist where the server has none, or none for us.
func (a *asker) beside(at URL, limit int64) ([]byte, error) {
	file, err := a.dial.file(at)
	if err != nil {
		return nil, err
	}
	data, err := small(a.ctx, file, a.source.Options, limit)
	var answer interface{ NotThere() bool }
	if errors.As(err, &answer) && answer.NotThere() {
		return nil, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return data, err
}

// besideError names the file beside the image that could not be had, where that is what went wrong. Where the server did not answer, that
// says nothing about this file: nobody should look for it because of it.
func besideError(at URL, err error) error {
	var answer interface{ OfFile() bool }
	if errors.As(err, &answer) && answer.OfFile() {
		return fmt.Errorf("get %v: %w", at, err)
	}
	return err
}

// verify has the signature of the file of a digest verified, and compares the digest with the one that the source names.
func (a *asker) verify(at URL, data []byte, digest Digest) error {
	if a.source.Signature == nil {
		return nil
	}
	if err := a.verifySignature(at, data); err != nil {
		return err
	}
	if want := a.source.Digest; want != (Digest{}) && want != digest {
		return &DigestError{Want: want, Got: digest}
	}
	return nil
}

// verifySignature has the signature of a file beside the image verified.
func (a *asker) verifySignature(at URL, data []byte) error {
	var passing error
	err := a.source.Signature.Verify(data, func(suffix string) ([]byte, error) {
		name, err := at.withSuffix(suffix)
		if err != nil {
			return nil, err
		}
		data, err := a.beside(name, maxDigestFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			passing = besideError(name, err)
		}
		return data, err
	})
	switch {
	case err == nil:
		return nil
	case passing != nil:
		return passing // that the signature could not be had says nothing about it
	}
	return &SignatureError{at, err}
}

// A digestFileError says that a file beside the image should hold its digest, and does not.
type digestFileError struct {
	URL URL // exported so that every way to print it asks the URL itself how it is shown
	Err error
}

func (e *digestFileError) Error() string {
	return fmt.Sprintf("read the digest in %v: %v", e.URL, e.Err)
}
func (e *digestFileError) Unwrap() error   { return e.Err }
func (e *digestFileError) Permanent() bool { return true }

// parseDigestFile finds the digest of the file called name in the output of sha256sum or sha512sum, in either of its forms, or in
// a file that holds nothing but the digest. The only digest of a file is taken whatever name it has: images are renamed.
func parseDigestFile(algorithm string, data []byte, name string) (Digest, error) {
	var all, ours []Digest
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		digest, of, ok := parseDigestLine(algorithm, lines.Text())
		if !ok {
			continue
		}
		all = append(all, digest)
		if path.Base(of) == name {
			ours = append(ours, digest)
		}
	}
	switch {
	case lines.Err() != nil:
		return Digest{}, lines.Err()
	case len(all) == 0:
		return Digest{}, fmt.Errorf("no line holds a %s", algorithm)
	case len(ours) == 0 && len(all) == 1:
		return all[0], nil
	case len(ours) == 0:
		return Digest{}, fmt.Errorf("none of its %d lines is for %q", len(all), name)
	}
	for _, d := range ours[1:] {
		if d != ours[0] {
			return Digest{}, fmt.Errorf("it has different digests for %q", name)
		}
	}
	return ours[0], nil
}

// parseDigestLine reads a line: "hex", "hex  name", "hex *name", "\hex  name" with escapes, or "SHA256 (name) = hex".
func parseDigestLine(algorithm, line string) (d Digest, name string, ok bool) {
	line = strings.TrimRight(line, "\r \t")
	escaped := strings.HasPrefix(line, `\`)
	line = strings.TrimSpace(strings.TrimPrefix(line, `\`))
	digits, rest, _ := strings.Cut(line, " ")
	if tag, bsd, found := strings.Cut(line, "("); found && isTag(algorithm, tag) {
		i := strings.LastIndex(bsd, ")")
		if i < 0 {
			return Digest{}, "", false
		}
		rest, digits = bsd[:i], strings.TrimLeft(bsd[i+1:], " =")
	} else if rest != "" && strings.ContainsRune(" *", rune(rest[0])) {
		rest = rest[1:]
	}
	d, err := ParseDigest(algorithm, digits)
	if escaped {
		rest = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r").Replace(rest)
	}
	return d, rest, err == nil
}

// isTag reports whether tag is how sha256sum --tag ("SHA256 ") or openssl ("SHA2-256") name the algorithm.
func isTag(algorithm, tag string) bool {
	tag = strings.ToLower(strings.TrimSpace(tag))
	return tag == algorithm || tag == strings.Replace(algorithm, "sha", "sha2-", 1)
}
