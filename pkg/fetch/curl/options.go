package curl

import (
	"crypto/tls"
	"slices"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch"
)

// An Option is one that is understood.
type Option struct {
	// Long is the name behind --, Short the letter behind -, if there is one.
	Long, Short string
	// Value is what stands behind it, "<seconds>" for example; empty for none.
	Value string
	// Switch tells that --no- may stand before the long name.
	Switch bool
	// Doc is a sentence.
	Doc string
	set func(o *fetch.Options, value string, on bool) error
}

// Names returns the option as it is written, with its value: "-m, --max-time <seconds>".
func (o Option) Names() string {
	names := "--" + o.Long
	if o.Short != "" {
		names = "-" + o.Short + ", " + names
	}
	if o.Value != "" {
		names += " " + o.Value
	}
	return names
}

// Options returns the options, in the order in which they are documented.
func Options() []Option {
	return slices.Concat(tlsOptions(), requestOptions(), retryOptions(), speedOptions(), networkOptions(), ftpOptions(), withoutEffect())
}

func tlsOptions() []Option {
	return []Option{
		flag("k", "insecure", "Accept any certificate.", func(o *fetch.Options) *bool { return &o.Insecure }),
		text("", "cacert", "<file>", "Trust the authorities in this PEM file of the image, instead of the built-in ones.",
			func(o *fetch.Options) *string { return &o.CACert }),
		text("", "capath", "<folder>", "Trust the authorities in this folder of the image, instead of the built-in ones.",
			func(o *fetch.Options) *string { return &o.CAPath }),
		{
			Long: "cert", Short: "E", Value: "<file>",
			Doc: "Show the server this certificate, a PEM file in the image; its key has no password.",
			set: setCert,
		},
		text("", "key", "<file>", "The certificate's private key, if it is not in the same file.",
			func(o *fetch.Options) *string { return &o.Key }),
		minTLS("tlsv1.2", "TLS 1.2 or later, which is the default.", tls.VersionTLS12),
		minTLS("tlsv1.3", "TLS 1.3 or later.", tls.VersionTLS13),
	}
}

func requestOptions() []Option {
	return []Option{
		{
			Long: "user", Short: "u", Value: "<user:password>",
			Doc: "Log in to the server.",
			set: func(o *fetch.Options, value string, _ bool) error {
				o.User = fetch.Secret(value)
				return nil
			},
		},
		{
			Long: "header", Short: "H", Value: "<name: value>",
			Doc: "Send this HTTP header; `name:` leaves a header out, `name;` sends it empty.",
			set: addHeader,
		},
		{
			Long: "user-agent", Short: "A", Value: "<name>",
			Doc: "Name this program to the server; an empty name, `''`, none.",
			set: setUserAgent,
		},
		{
			Long: "location", Short: "L", Switch: true,
			Doc: "Follow redirects, which is the default; `--no-location` does not.",
			set: func(o *fetch.Options, _ string, on bool) error {
				o.NoLocation = !on
				return nil
			},
		},
		{Long: "max-redirs", Value: "<number>", Doc: "Follow at most so many redirects; -1: any number.", set: setMaxRedirects},
	}
}

func retryOptions() []Option {
	return []Option{
		{
			Long: "retry", Value: "<number>",
			Doc: "Ask at most so often again; by default as long as a server answers sometimes.",
			set: setRetry,
		},
		duration("", "retry-delay", "Wait so long between attempts; by default longer each time.",
			func(o *fetch.Options) *time.Duration { return &o.RetryDelay }),
		duration("", "retry-max-time", "Do not ask again when so long has passed.",
			func(o *fetch.Options) *time.Duration { return &o.RetryMaxTime }),
		{Long: "retry-connrefused", Switch: true, Doc: "Accepted and not needed: a refused connection is always tried again.", set: ignore},
		flag("", "retry-all-errors", "Ask again after every kind of error, 404 for example.",
			func(o *fetch.Options) *bool { return &o.RetryAllErrors }),
	}
}

func speedOptions() []Option {
	return []Option{
		duration("", "connect-timeout", "Give a server so long to accept a connection.",
			func(o *fetch.Options) *time.Duration { return &o.ConnectTimeout }),
		duration("m", "max-time", "Give up after so long altogether.", func(o *fetch.Options) *time.Duration { return &o.MaxTime }),
		{
			Long: "speed-time", Short: "y", Value: "<seconds>",
			Doc: "Connect anew when the server was slower than --speed-limit, 1 by default, for so long.",
			set: setSpeedTime,
		},
		{
			Long: "speed-limit", Short: "Y", Value: "<bytes per second>",
			Doc: "Connect anew when the server was slower for --speed-time, 30 s by default.",
			set: setSpeedLimit,
		},
		{
			Long: "limit-rate", Value: "<bytes per second>",
			Doc: "Download no faster, to leave others room; with k, M or G: 1.5M.",
			set: setLimitRate,
		},
	}
}

func networkOptions() []Option {
	return []Option{
		{
			Long: "proxy", Short: "x", Value: "<[scheme://][user:password@]host[:port]>",
			Doc: "Ask this proxy: http (the default), https, socks5 or socks5h; port 1080 unless another is given. Empty, `''`: none.",
			set: setProxy,
		},
		{
			Long: "noproxy", Value: "<hosts>",
			Doc: "Ask these hosts without the proxy; several are quoted, `'a.example 10.0.0.0/8'`; `*`: all.",
			set: setNoProxy,
		},
		ipVersion("4", "ipv4", 4),
		ipVersion("6", "ipv6", 6),
		{
			Long: "interface", Value: "<name or address>",
			Doc: "Connect from this interface, or from this address of the machine.",
			set: setInterface,
		},
	}
}

func ftpOptions() []Option {
	return []Option{
		{Long: "ftp-pasv", Doc: "Passive mode, which is the default.", set: func(o *fetch.Options, _ string, _ bool) error {
			o.FTPPort = ""
			return nil
		}},
		text("P", "ftp-port", "<address>", "Active mode: the server connects back to this address or interface; `-`: to the one of the connection.",
			func(o *fetch.Options) *string { return &o.FTPPort }),
		flag("", "ssl-reqd", "Refuse FTP without TLS.", func(o *fetch.Options) *bool { return &o.SSLRequired }),
	}
}

// withoutEffect are options of what curl prints, and of what happens here always.
func withoutEffect() []Option {
	const doc = "Accepted, has no effect."
	return []Option{
		{Long: "silent", Short: "s", Switch: true, Doc: doc, set: ignore},
		{Long: "show-error", Short: "S", Switch: true, Doc: doc, set: ignore},
		{
			Long: "fail", Short: "f", Switch: true,
			Doc: "Accepted and not needed: an error of the server is never taken for the image.",
			set: ignore,
		},
		{Long: "progress-bar", Short: "#", Switch: true, Doc: doc, set: ignore},
	}
}
