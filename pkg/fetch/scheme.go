package fetch

import (
	"fmt"
	"slices"
	"strings"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// A Scheme is a wire protocol.
type Scheme struct {
	Name string
	Doc  string
	// open prepares to ask for a file.
	open func(dialer, URL) (wire.File, error)
	// repeats tells that the protocol has neither offsets nor validators: what was interrupted comes once more from the beginning.
	repeats bool
	// streams tells that all that follows an offset is sent, whatever is wanted of it: a connection is best used to read on.
	streams bool
	// pushes tells that it is the server that connects, when it likes: nobody knows before whether and when, nothing can be asked of it, and
	// what was interrupted comes once more from the beginning. Patience, stalls and digests beside the image are not for it.
	pushes bool
}

// Schemes returns the protocols, in the order in which they are documented.
func Schemes() []Scheme {
	return []Scheme{
		{Name: "http", Doc: "HTTP/1.1", open: dialer.http},
		{Name: "https", Doc: "HTTP over TLS 1.2 and later, HTTP/2 where the server has it", open: dialer.http},
		{Name: "ftp", Doc: "FTP, passive or active", open: dialer.ftp, streams: true},
		{Name: "ftps", Doc: "FTP over TLS, which begins with the command AUTH, or on port 990 with the connection", open: dialer.ftp, streams: true},
		{Name: "tftp", Doc: "TFTP with large blocks and windows", open: dialer.tftp, repeats: true},
		{Name: "dolly", Doc: "a ring of dolly 0.6x or 0.7x: the server connects to the machines, and each passes the image on to the next", open: dialer.dolly, pushes: true},
	}
}

// Supported reports whether a URL of that scheme can be opened.
func Supported(scheme string) bool {
	return slices.ContainsFunc(Schemes(), func(s Scheme) bool { return s.Name == scheme })
}

// Pushed reports whether it is the server that connects to this machine (dolly). What the URL names after the scheme is of no account then.
func (u URL) Pushed() bool {
	s, err := schemeOf(u)
	return err == nil && s.pushes
}

func schemeOf(u URL) (Scheme, error) {
	var names []string
	for _, s := range Schemes() {
		if s.Name == u.Scheme() {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Scheme{}, fmt.Errorf("the scheme %q is none of %s", u.Scheme(), strings.Join(names, ", "))
}
