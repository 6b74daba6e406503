package fetch

import (
	"encoding"
	"fmt"
	"time"
)

// Options say how servers are asked. They are named after curl's options, and mean what curl means by them where the comment does not say
// otherwise. The zero Options are the defaults.
type Options struct {
	// ConnectTimeout bounds one attempt to resolve the name and to set up TCP, and once more TLS; 0 means DefaultConnectTimeout.
	ConnectTimeout time.Duration
	// MaxTime bounds the whole download, every attempt and every wait between them included; 0 for none. (curl begins anew with every
	// attempt.)
	MaxTime time.Duration
	// SpeedTime is how long a server may be slower than SpeedLimit before the connection is given up and the download taken up on another;
	// 0 means Environment.Stall. Time in which nobody reads the stream does not count.
	SpeedTime time.Duration
	// SpeedLimit in bytes per second; 0 means that any byte within SpeedTime will do.
	SpeedLimit int64
	// LimitRate is the highest rate in bytes per second, averaged over a connection; 0 for none.
	LimitRate int64

	// User is "name:password" for the servers of the source, before the one in a URL; empty for none. It is never sent to another server
	// that a redirect leads to.
	User Secret
	// Headers of HTTP requests, in this order. They are never sent to another server that a redirect leads to.
	Headers []Header
	// UserAgent of HTTP requests; empty means DefaultUserAgent.
	UserAgent string

	// Proxy is asked instead of the servers: http://, https://, socks5:// or socks5h://, with its login; empty for none. FTP is asked for by
	// HTTP of an HTTP proxy, as curl does; TFTP has no proxies.
	Proxy URL
	// NoProxy are the hosts that are asked directly: names (with everything below them), addresses, networks as address/bits, or "*" for
	// all.
	NoProxy []string
	// IPVersion is 4 or 6 to use only addresses of that kind; 0 for both.
	IPVersion int
	// Interface is the name of a network interface, or an address of this machine, that connections leave by; empty for any.
	Interface string

	// Insecure accepts any certificate, and redirects from https to http.
	Insecure bool
	// CACert is a file of CA certificates in PEM form, CAPath a folder of such files (*.pem, *.crt, and OpenSSL's names by hash). Where
	// one of them is given, they are trusted instead of the built-in and the site's authorities. Paths are below Environment.Roots.
	CACert, CAPath string
	// Cert and Key are files in PEM form with the certificate that this machine shows to servers, and its private key, which is looked
	// for in Cert where Key is empty. Paths are below Environment.Roots.
	Cert, Key string
	// MinTLS is the oldest version of TLS that is spoken: tls.VersionTLS12, which 0 means, or tls.VersionTLS13.
	MinTLS uint16

	// NoLocation does not follow redirects: one is then an error.
	NoLocation bool
	// MaxRedirects is how many redirects are followed for one request; nil means DefaultMaxRedirects, negative any number.
	MaxRedirects *int

	// Retry is how often, altogether, the servers are asked again after something went wrong; nil leaves it to Environment.Patience.
	Retry *int
	// RetryDelay is the time from one round of attempts to the next; 0 means that the time doubles, see Patience.
	RetryDelay time.Duration
	// RetryMaxTime is for how long after the beginning something may go wrong and be tried again; 0 leaves it to Environment.Patience. As with
	// curl, it is the wait that begins within this time; a server's Retry-After must end within it.
	RetryMaxTime time.Duration
	// RetryAllErrors also asks again after answers that are not expected to change, such as 404. (That a connection is refused is always
	// taken for something that passes: RetryConnRefused is no option here.)
	RetryAllErrors bool

	// FTPPort asks for active mode: the server connects back. It is the address to name to the server, the name of an interface, or "-"
	// for the address that the control connection has; empty for passive mode.
	FTPPort string
	// SSLRequired does not speak FTP without TLS, in ftp:// URLs too.
	SSLRequired bool

	// Dolly is for rings of dolly.
	Dolly DollyOptions
}

// Defaults of Options.
const (
	// DefaultConnectTimeout is enough for a switch whose spanning tree blocks the port when the link comes up to be asked again; a machine
	// that is switched off does not answer at all.
	DefaultConnectTimeout = 30 * time.Second
	// DefaultMaxRedirects is curl's.
	DefaultMaxRedirects = 50
	// DefaultUserAgent names the program to the server's log.
	DefaultUserAgent = "liveboot"
)

// A Secret is shown as "xxxxx" wherever it is printed; string(s) is the secret itself.
type Secret string

var (
	_ fmt.Stringer           = Secret("")
	_ fmt.GoStringer         = Secret("")
	_ encoding.TextMarshaler = Secret("")
)

// String tells only whether there is a secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "xxxxx"
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText keeps the secret out of reports: it is String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// A Header is a field of HTTP requests. It takes the place of one that is sent by default.
type Header struct {
	Name string
	// Value is what is sent. Any header may hold a token.
	Value Secret
	// Remove leaves out the field that is sent by default; Value is empty then.
	Remove bool
}

// String shows the name only.
func (h Header) String() string {
	if h.Remove {
		return h.Name + ":"
	}
	return h.Name + ": " + h.Value.String()
}
