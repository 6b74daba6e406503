package curl

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch"
)

// ignore is for options that ask for what happens anyway.
func ignore(*fetch.Options, string, bool) error { return nil }

func flag(short, long, doc string, field func(*fetch.Options) *bool) Option {
	return Option{Long: long, Short: short, Switch: true, Doc: doc, set: func(o *fetch.Options, _ string, on bool) error {
		*field(o) = on
		return nil
	}}
}

func text(short, long, value, doc string, field func(*fetch.Options) *string) Option {
	return Option{Long: long, Short: short, Value: value, Doc: doc, set: func(o *fetch.Options, text string, _ bool) error {
		if text == "" {
			return fmt.Errorf("want %s, not an empty word", value)
		}
		*field(o) = text
		return nil
	}}
}

func duration(short, long, doc string, field func(*fetch.Options) *time.Duration) Option {
	return Option{Long: long, Short: short, Value: "<seconds>", Doc: doc, set: func(o *fetch.Options, text string, _ bool) (err error) {
		*field(o), err = seconds(text)
		return err
	}}
}

func minTLS(long, doc string, version uint16) Option {
	return Option{Long: long, Doc: doc, set: func(o *fetch.Options, _ string, _ bool) error {
		o.MinTLS = version
		return nil
	}}
}

func ipVersion(short, long string, version int) Option {
	return Option{Long: long, Short: short, Doc: fmt.Sprintf("Use IPv%d only.", version), set: func(o *fetch.Options, _ string, _ bool) error {
		o.IPVersion = version
		return nil
	}}
}

// maxSeconds is 30 years: more is a mistake, and overflows somewhere.
const maxSeconds = 1e9

// decimal is a number with or without a fraction.
var decimal = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)

// seconds reads a time as curl does, to the millisecond.
func seconds(text string) (time.Duration, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !decimal.MatchString(text) || f > maxSeconds {
		return 0, fmt.Errorf("want seconds, 30 or 2.5 for example, not %q", text)
	}
	return time.Duration(f*1000) * time.Millisecond, nil
}

// number reads a number of at least least and at most most.
func number(text string, least, most int64) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strings.HasPrefix(text, "+") || n < least || n > most {
		return 0, fmt.Errorf("want a whole number of at least %d, not %q", least, text)
	}
	return n, nil
}

// ParseRate reads a rate in bytes per second as --limit-rate has it: a number, which may have a fraction with a unit, k, M or G.
func ParseRate(text string) (int64, error) { return size(text) }

// size reads bytes, or a number, which may have a fraction then, with a unit.
func size(text string) (int64, error) {
	digits, unit := text, int64(1)
	if n := len(text); n > 0 {
		// A unit is a power of 1024; b, for bytes, is one too.
		if power := strings.IndexByte("bkmgtp", text[n-1]|0x20); power >= 0 {
			digits, unit = text[:n-1], 1<<(10*power)
		}
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || !decimal.MatchString(digits) || unit == 1 && strings.Contains(digits, ".") || f*float64(unit) >= math.MaxInt64/2 {
		return 0, fmt.Errorf("want bytes per second, or a number with k, M or G, not %q", text)
	}
	return int64(f * float64(unit)), nil
}

func setRetry(o *fetch.Options, text string, _ bool) error {
	n, err := number(text, 0, math.MaxInt32)
	if err != nil {
		return err
	}
	retries := int(n)
	o.Retry = &retries
	return nil
}

func setMaxRedirects(o *fetch.Options, text string, _ bool) error {
	n, err := number(text, -1, math.MaxInt32)
	if err != nil {
		return err
	}
	redirects := int(n)
	o.MaxRedirects = &redirects
	return nil
}

// defaultSpeedTime is what --speed-limit means without --speed-time.
const defaultSpeedTime = 30 * time.Second

func setSpeedTime(o *fetch.Options, text string, _ bool) error {
	n, err := number(text, 0, maxSeconds)
	if err != nil {
		return err
	}
	o.SpeedTime = time.Duration(n) * time.Second
	return nil
}

func setSpeedLimit(o *fetch.Options, text string, _ bool) error {
	n, err := number(text, 0, math.MaxInt64)
	if err != nil {
		return err
	}
	if o.SpeedLimit = n; n > 0 && o.SpeedTime == 0 {
		o.SpeedTime = defaultSpeedTime
	}
	return nil
}

func setLimitRate(o *fetch.Options, text string, _ bool) (err error) {
	o.LimitRate, err = size(text)
	return err
}

// setProxy never shows the value: it may hold a password.
func setProxy(o *fetch.Options, text string, _ bool) error {
	if text == "" {
		o.Proxy = ""
		return nil
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("want [scheme://][user:password@]host[:port], special characters in the password as %40 and the like")
	}
	u.Scheme, u.Path = strings.ToLower(u.Scheme), ""
	if known := []string{"http", "https", "socks5", "socks5h"}; !slices.Contains(known, u.Scheme) {
		return fmt.Errorf("a proxy of the kind %s:// is not known, want one of %s", u.Scheme, strings.Join(known, ", "))
	}
	if u.Port() == "" {
		port := ":1080"
		if u.Scheme == "https" {
			port = ":443"
		}
		u.Host += port
	}
	o.Proxy = fetch.URL(u.String())
	return nil
}

// setNoProxy takes the list in the form that a comma has here; none at all is an empty word.
func setNoProxy(o *fetch.Options, text string, _ bool) error {
	o.NoProxy = strings.Fields(text)
	return nil
}

// setInterface knows curl's prefixes, which say what the name is of.
func setInterface(o *fetch.Options, text string, _ bool) error {
	name := strings.TrimPrefix(strings.TrimPrefix(text, "if!"), "host!")
	if name == "" || strings.Contains(name, "!") {
		return errors.New("want the name of an interface, or an address of this machine")
	}
	o.Interface = name
	return nil
}

// fieldName is the name of an HTTP header, a token of RFC 9110, 5.6.2.
var fieldName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// addHeader never shows the value: it may hold a token.
func addHeader(o *fetch.Options, text string, _ bool) error {
	if strings.HasPrefix(text, "@") {
		return errors.New("headers from a file (@) are not supported; write each with an -H of its own")
	}
	h := fetch.Header{}
	name, value, ok := strings.Cut(text, ":")
	if value = strings.TrimSpace(value); ok {
		h = fetch.Header{Name: name, Value: fetch.Secret(value), Remove: value == ""}
	} else if name, ok = strings.CutSuffix(text, ";"); ok {
		h = fetch.Header{Name: name}
	}
	if !ok || !fieldName.MatchString(h.Name) || strings.ContainsAny(value, "\r\n\x00") {
		return errors.New("want 'name: value', quoted if there is a space in it")
	}
	o.Headers = append(o.Headers, h)
	return nil
}

func setUserAgent(o *fetch.Options, text string, _ bool) error {
	const name = "User-Agent"
	if o.UserAgent = text; text == "" {
		o.Headers = append(o.Headers, fetch.Header{Name: name, Remove: true})
	}
	return nil
}

// setCert reads a file name; behind a colon curl has the key's password. A backslash protects a colon that belongs to the name.
func setCert(o *fetch.Options, text string, _ bool) error {
	var name strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text) && strings.IndexByte(`:\`, text[i+1]) >= 0:
			i++
			name.WriteByte(text[i])
		case c == ':':
			return errors.New("a password for the key is not supported: it would stand on the kernel's command line; take it off the key (openssl pkey)")
		default:
			name.WriteByte(c)
		}
	}
	if name.Len() == 0 {
		return errors.New("want a file")
	}
	o.Cert = name.String()
	return nil
}
