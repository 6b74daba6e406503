package fetch

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/liveboot/liveboot/pkg/fetch/ftp"
	"github.com/liveboot/liveboot/pkg/fetch/httpx"
	"github.com/liveboot/liveboot/pkg/fetch/tftp"
	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

func (d dialer) http(u URL) (wire.File, error) {
	target, err := u.parse()
	if err != nil {
		return nil, err
	}
	options, err := d.httpOptions(target)
	if err != nil {
		return nil, err
	}
	return httpx.New(target, options), nil
}

// downloads are the header fields by which a download works.
func downloads() []string {
	return []string{"Range", "If-Range", "Accept-Encoding", "Transfer-Encoding", "Content-Length", "Connection"}
}

func (d dialer) httpOptions(target *url.URL) (httpx.Options, error) {
	header := http.Header{"User-Agent": {d.options.UserAgent}}
	given := map[string]bool{}
	for _, h := range d.options.Headers {
		name := http.CanonicalHeaderKey(h.Name)
		if slices.Contains(downloads(), name) {
			return httpx.Options{}, fmt.Errorf("the header %s is the download's own", name)
		}
		if !given[name] {
			header[name], given[name] = nil, true
		}
		if !h.Remove {
			header.Add(name, string(h.Value))
		}
	}
	return httpx.Options{
		Dial: d.connect, TLS: d.tls, Roots: d.roots, HandshakeTimeout: d.options.ConnectTimeout, Proxy: d.proxyFor,
		Login: d.login(target), Header: header,
		MaxRedirects: *d.options.MaxRedirects, NoRedirects: d.options.NoLocation, Downgrade: d.options.Insecure,
	}, nil
}

func (d dialer) ftp(u URL) (wire.File, error) {
	target, err := u.parse()
	if err != nil {
		return nil, err
	}
	if proxy := d.proxyFor(target); proxy != nil {
		return d.ftpByProxy(target, proxy)
	}
	options := ftp.Options{
		Dial: d.connect, Listen: d.wire.Listen, TLS: d.tls, Roots: d.roots, Login: d.login(target), Active: d.options.FTPPort,
	}
	switch {
	case target.Scheme == "ftps" && target.Port() == strconv.Itoa(ftp.ImplicitPort):
		options.Security = ftp.Implicit
	case target.Scheme == "ftps", d.options.SSLRequired:
		options.Security = ftp.Explicit
	}
	if link, err := net.InterfaceByName(options.Active); err == nil {
		if options.Active, err = addressOf(link, d.options.IPVersion); err != nil {
			return nil, err
		}
	}
	return ftp.New(target, options)
}

// ftpByProxy asks a proxy for HTTP for a file over FTP.
func (d dialer) ftpByProxy(target, proxy *url.URL) (wire.File, error) {
	switch {
	case proxy.Scheme != "http" && proxy.Scheme != "https":
		return nil, fmt.Errorf("FTP cannot be asked for by a proxy of the kind %s", proxy.Scheme)
	case target.Scheme == "ftps", d.options.SSLRequired:
		return nil, fmt.Errorf("a proxy does not speak FTP over TLS")
	}
	options, err := d.httpOptions(target)
	if err != nil {
		return nil, err
	}
	options.Proxy, options.Gateway = nil, proxy
	return httpx.New(target, options), nil
}

// addressOf returns an address of an interface, of the wanted version if that is not 0.
func addressOf(link *net.Interface, version int) (string, error) {
	addresses, err := link.Addrs()
	if err != nil {
		return "", fmt.Errorf("addresses of %s: %w", link.Name, err)
	}
	for _, a := range addresses {
		network, ok := a.(*net.IPNet)
		if is4 := ok && network.IP.To4() != nil; ok && !network.IP.IsLinkLocalUnicast() && (version == 0 || is4 == (version == 4)) {
			return network.IP.String(), nil
		}
	}
	return "", fmt.Errorf("the interface %s has no address to name to an FTP server", link.Name)
}

func (d dialer) tftp(u URL) (wire.File, error) {
	target, err := u.parse()
	if err != nil {
		return nil, err
	}
	return tftp.New(target, tftp.Options{Resolve: d.wire.Resolve, Listen: d.wire.ListenPacket, Timeout: d.options.ConnectTimeout})
}

// login returns that of the options, else that in the URL; nil for none.
func (d dialer) login(u *url.URL) *url.Userinfo {
	if d.options.User == "" {
		return u.User
	}
	name, password, _ := strings.Cut(string(d.options.User), ":")
	return url.UserPassword(name, password)
}
