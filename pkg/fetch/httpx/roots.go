package httpx

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// siteFolder is where a site puts the certificates of its own authorities, as files that end in .pem or .crt.
const siteFolder = "etc/ssl/certs"

// Roots returns the certificate authorities that are trusted: Mozilla's, from the program itself, and those of the site, from
// etc/ssl/certs below root.
func Roots(root string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	for r := range bundle.Roots() {
		certificate, err := x509.ParseCertificate(r.Certificate)
		if err != nil {
			return nil, fmt.Errorf("parse built-in certificate: %w", err)
		}
		if r.Constraint == nil {
			pool.AddCert(certificate)
		} else {
			pool.AddCertWithConstraint(certificate, r.Constraint)
		}
	}
	entries, err := os.ReadDir(filepath.Join(root, siteFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the site's certificates: %w", err)
	}
	for _, entry := range entries {
		if ext := filepath.Ext(entry.Name()); ext != ".pem" && ext != ".crt" {
			continue
		}
		name := filepath.Join(root, siteFolder, entry.Name())
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read the site's certificates: %w", err)
		}
		if !pool.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("read the site's certificates: %s holds no certificate in PEM form", name)
		}
	}
	return pool, nil
}
