// Package options reads options of dolly's command line from a kernel option: a list in which a comma stands for a space, as for curl's
// (see package curl).
//
// They are those that mean something for a client; what belongs to the server is refused. As with getopt(3), letters of
// options without a value may be joined, and a value stands in the next word or behind the letter. Long names are of our own.
package options

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/fetch/curl"
	"github.com/liveboot/liveboot/pkg/spelling"
)

// An Option is one that is understood.
type Option struct {
	// Name is "-P" or "--from".
	Name string
	// Value is what stands behind it, "<seconds>" for example; empty for none.
	Value string
	// Doc is a sentence.
	Doc string
	set func(o *fetch.DollyOptions, value string) error
}

// serverOptions are dolly's options that only a server has.
const serverOptions = "sSHIODXfdK"

// Options returns the options, in the order in which they are documented.
func Options() []Option {
	return []Option{
		{"-P", "<password>", "The ring's password (0.7x); a ring with another one, or without, is not joined. (Everybody on the machine can read the kernel command line; see `--password-file`.)",
			func(o *fetch.DollyOptions, value string) error {
				o.Password = fetch.Secret(value)
				return nil
			}},
		{"--password-file", "<file>", "Take the password from this file of the image: its first line, or what stands behind `PASS=`.",
			func(o *fetch.DollyOptions, value string) error {
				o.PasswordFile = value
				return nil
			}},
		{"--from", "<address[/bits]>", "Join only a ring whose server, or node before this one, has such an address; may be given several times.", setFrom},
		{"-a", "<seconds>", "Wait so long for a server, and, in its ring, so long and the time for the next node (see `-r`) for the first byte; by default two minutes where root= names another URL, too, and for ever otherwise.", setWait},
		{"-r", "<number>", "Try so often, once a second, to connect to the next node before it is left out; by default for three minutes.",
			func(o *fetch.DollyOptions, value string) (err error) {
				o.Retry, err = number(value, maxRetry)
				return err
			}},
		{"-Y", "", "A hyphen in a host's name is a part of it; by default what follows it names an interface of the host.",
			func(o *fetch.DollyOptions, _ string) error {
				o.HyphenNormal = true
				return nil
			}},
		{"-v", "", "Show what the nodes behind this one say.",
			func(o *fetch.DollyOptions, _ string) error {
				o.Verbose = true
				return nil
			}},
		{"-q", "", "No effect.", ignore},
		{"-n", "", "No effect.", ignore},
		{"-R", "", "No effect.", ignore},
		{"-4", "", "No effect.", ignore},
		{"-6", "", "No effect.", ignore},
		{"-o", "<file>", "No effect.", ignore},
		{"-b", "<bytes>", "No effect.", ignore},
		{"-u", "<bytes>", "No effect.", ignore},
		{"-c", "<bytes>", "No effect.", ignore},
	}
}

// Apply reads a list of options into o, which it leaves alone if anything is wrong with one of them. Its error names the option, and never
// shows a value.
func Apply(o *fetch.DollyOptions, list string) error {
	words, err := curl.Words(list)
	if err != nil {
		return err
	}
	p := parser{known: Options(), options: *o, words: words}
	p.options.From = slices.Clip(o.From)
	for len(p.words) > 0 {
		if err := p.next(); err != nil {
			return err
		}
	}
	*o = p.options
	return nil
}

// A parser reads words in their order.
type parser struct {
	known   []Option
	options fetch.DollyOptions
	words   []string
	last    string // the option before
}

func (p *parser) next() error {
	word := p.words[0]
	p.words = p.words[1:]
	switch {
	case strings.HasPrefix(word, "--") && word != "--":
		name, value, attached := strings.Cut(word, "=")
		return p.apply(name, value, attached)
	case len(word) < 2 || word[0] != '-' || word == "--":
		// It is not shown: a password may have been cut in two at a comma.
		return fmt.Errorf("the word behind %s belongs to no option: a comma stands for a space; quote a value that has one", cmp.Or(p.last, "the ="))
	}
	for letters := word[1:]; letters != ""; letters = letters[1:] {
		name := "-" + letters[:1]
		if i := p.find(name); i >= 0 && p.known[i].Value != "" {
			return p.apply(name, letters[1:], letters[1:] != "")
		}
		if err := p.apply(name, "", false); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) find(name string) int {
	return slices.IndexFunc(p.known, func(o Option) bool { return o.Name == name })
}

func (p *parser) apply(name, value string, attached bool) error {
	i := p.find(name)
	if i < 0 {
		return p.unknown(name)
	}
	p.last = name
	option := p.known[i]
	switch {
	case option.Value == "" && attached:
		return fmt.Errorf("%s takes no value", name)
	case option.Value != "" && !attached:
		if len(p.words) == 0 {
			return fmt.Errorf("%s: want a value, %s, behind it", name, option.Value)
		}
		value, p.words = p.words[0], p.words[1:]
	}
	if option.Value != "" && value == "" {
		return fmt.Errorf("%s: want a value, %s, behind it", name, option.Value)
	}
	if err := option.set(&p.options, value); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// unknown names an option that is not in the list. Of letters only one is shown: what follows may be a secret.
func (p *parser) unknown(name string) error {
	if len(name) == 2 && strings.Contains(serverOptions, name[1:]) {
		return fmt.Errorf("%s is an option of dolly's server: this machine is a client", name)
	}
	if len(name) == 2 {
		return fmt.Errorf("%q is not among the options that are understood", name)
	}
	return fmt.Errorf("%s is not among the options that are understood; did you mean %s?", name, spelling.Nearest(name, func(yield func(string) bool) {
		for _, o := range p.known {
			if !yield(o.Name) {
				return
			}
		}
	}))
}

func ignore(*fetch.DollyOptions, string) error { return nil }

func setFrom(o *fetch.DollyOptions, value string) error {
	prefix, err := netip.ParsePrefix(value)
	if err != nil {
		address, addressErr := netip.ParseAddr(value)
		if addressErr != nil || !address.Is4() {
			return errors.New("want an IPv4 address, or a network as address/bits")
		}
		prefix = netip.PrefixFrom(address, address.BitLen())
	}
	if !prefix.Addr().Is4() {
		return errors.New("want an IPv4 address, or a network as address/bits: dolly knows no others")
	}
	o.From = append(o.From, prefix.Masked())
	return nil
}

// maxSeconds is what a wait may have: a year. maxRetry is a day of attempts.
const (
	maxSeconds = 365 * 24 * 60 * 60
	maxRetry   = 24 * 60 * 60
)

func setWait(o *fetch.DollyOptions, value string) error {
	n, err := number(value, maxSeconds)
	if err != nil {
		return fmt.Errorf("%w, in seconds", err)
	}
	o.Wait = time.Duration(n) * time.Second
	return nil
}

func number(value string, limit int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > limit {
		return 0, fmt.Errorf("want a number from 1 to %d", limit)
	}
	return n, nil
}
