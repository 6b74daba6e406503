package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/liveboot/liveboot/pkg/fetch/httpx"
	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// A dialer turns the options into what the protocols need, once for all mirrors.
type dialer struct {
	options Options
	wire    wire.Dialer
	connect func(ctx context.Context, network, address string) (net.Conn, error)
	tls     *tls.Config
	proxy   *url.URL // nil: none
	// report tells the events of protocols that do something by themselves; nil for nobody.
	report func(Event)
	// base is the path of the root folder of the machine.
	base string
	// roots reads the authorities when they are first needed.
	roots func() (*x509.CertPool, error)
}

func newDialer(o Options, e Environment) (dialer, error) {
	d := dialer{
		options: o,
		report:  e.Report,
		base:    e.Roots,
		wire:    wire.Dialer{Timeout: o.ConnectTimeout, IPVersion: o.IPVersion, Interface: o.Interface},
		roots:   sync.OnceValues(func() (*x509.CertPool, error) { return authorities(o, e.Roots) }),
		// Connections are many and short; a session that is resumed costs no signature, and FTP servers want the data connection to be of one
		// session with the control connection.
		tls: &tls.Config{
			InsecureSkipVerify: o.Insecure,
			MinVersion:         max(o.MinTLS, tls.VersionTLS12),
			ClientSessionCache: tls.NewLRUClientSessionCache(0),
		},
	}
	if d.connect = e.connect; d.connect == nil {
		d.connect = d.wire.DialContext
	}
	if o.Cert != "" {
		key := o.Key
		if key == "" {
			key = o.Cert
		}
		certificate, err := tls.LoadX509KeyPair(filepath.Join(e.Roots, o.Cert), filepath.Join(e.Roots, key))
		if err != nil {
			return d, fmt.Errorf("load client certificate: %w", err)
		}
		d.tls.Certificates = []tls.Certificate{certificate}
	}
	if o.Proxy != "" {
		var err error
		if d.proxy, err = o.Proxy.parse(); err != nil {
			return d, fmt.Errorf("proxy: %w", err)
		}
	}
	return d, nil
}

// serial makes report one that can be called from anywhere.
func serial(report func(Event)) func(Event) {
	if report == nil {
		return nil
	}
	var one sync.Mutex
	return func(e Event) {
		one.Lock()
		defer one.Unlock()
		report(e)
	}
}

// authorities returns those that the options name, or the built-in ones and the site's.
func authorities(o Options, root string) (*x509.CertPool, error) {
	if o.CACert == "" && o.CAPath == "" {
		return httpx.Roots(root)
	}
	pool := x509.NewCertPool()
	if o.CACert != "" {
		if err := addCertificates(pool, filepath.Join(root, o.CACert)); err != nil {
			return nil, err
		}
	}
	if o.CAPath != "" {
		folder := filepath.Join(root, o.CAPath)
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil, &authorityError{err}
		}
		var found bool
		for _, entry := range entries {
			if !isCertificate(entry.Name()) {
				continue
			}
			if err := addCertificates(pool, filepath.Join(folder, entry.Name())); err != nil {
				return nil, err
			}
			found = true
		}
		if !found {
			return nil, &authorityError{fmt.Errorf("%s holds no certificates", folder)}
		}
	}
	return pool, nil
}

func addCertificates(pool *x509.CertPool, name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return &authorityError{err}
	}
	if !pool.AppendCertsFromPEM(data) {
		return &authorityError{fmt.Errorf("%s holds no certificate in PEM form", name)}
	}
	return nil
}

// isCertificate reports whether a file in a folder of certificates is one, by its name: *.pem, *.crt, or a hash and a number.
func isCertificate(name string) bool {
	ext := filepath.Ext(name)
	return ext == ".pem" || ext == ".crt" || len(ext) == 2 && ext[1] >= '0' && ext[1] <= '9'
}

// An authorityError says that it cannot be known whom to trust.
type authorityError struct{ err error }

func (e *authorityError) Error() string {
	return fmt.Sprintf("read certificate authorities: %v", e.err)
}
func (e *authorityError) Unwrap() error   { return e.err }
func (e *authorityError) Permanent() bool { return true }

// file returns the file at u.
func (d dialer) file(u URL) (wire.File, error) {
	scheme, err := schemeOf(u)
	if err != nil {
		return nil, err
	}
	return scheme.open(d, u)
}
