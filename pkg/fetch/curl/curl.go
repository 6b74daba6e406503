// Package curl reads options as curl's command line has them, from a kernel option: a list in which a comma stands for a space.
//
// The reference (KIWI's dracut module kiwi-live) turns every comma into a space and lets a shell read the result as part of curl's
// command line. So does Apply, without a shell: quotes and backslashes protect spaces as they do there, so that -H,'X-Token: a' is one
// header (a comma is a space even between quotes). Nothing else that a shell knows ($, ;, &, |, *, …) has a meaning.
//
// As with curl, a value stands in the next word, behind the letter (-m30), or behind a = (--retry=3, curl 8.16 and later); letters of
// options without a value may be joined (-kL); of an option that is given twice the last one counts, except for headers; --no- in front
// of a long name turns a switch off. Unlike older versions of curl, abbreviated names are not accepted.
//
// The options are those of Options, with the meaning that curl(1) of version 8.16 gives them where fetch.Options does not say otherwise.
package curl

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/spelling"
)

// Apply reads a list of options into o, which it leaves alone if anything is wrong with one of them. Its error names the option, and
// never shows a value that may hold a secret.
func Apply(o *fetch.Options, list string) error {
	words, err := Words(list)
	if err != nil {
		return err
	}
	p := parser{known: Options(), options: *o, words: words}
	p.options.Headers = slices.Clip(o.Headers)
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
	options fetch.Options
	words   []string
	// last is the option before, as it was written.
	last string
}

// next reads an option with its value, or letters that are joined.
func (p *parser) next() error {
	word := p.words[0]
	p.words = p.words[1:]
	switch {
	case word == "--" || !strings.HasPrefix(word, "-"):
		// It is not shown: a password may have been cut in two at a comma.
		return fmt.Errorf("the word behind %s belongs to no option: a comma stands for a space; quote a value that has one", cmp.Or(p.last, "the ="))
	case strings.HasPrefix(word, "--"):
		return p.long(word)
	}
	return p.letters(word[1:])
}

func (p *parser) long(word string) error {
	name, value, attached := strings.Cut(strings.TrimPrefix(word, "--"), "=")
	positive, negated := strings.CutPrefix(name, "no-")
	i := slices.IndexFunc(p.known, func(o Option) bool { return o.Long == name || negated && o.Long == positive })
	if i < 0 {
		return p.unknown("--" + name)
	}
	option := p.known[i]
	negated = negated && option.Long == positive
	p.last = "--" + name
	switch {
	case negated && !option.Switch:
		return fmt.Errorf("%s: --no- is for switches only", p.last)
	case option.Value == "" && attached:
		return fmt.Errorf("%s takes no value", p.last)
	case option.Value == "":
		return p.apply(option, p.last, "", !negated)
	case attached:
		return p.apply(option, p.last, value, true)
	}
	return p.withNextWord(option)
}

func (p *parser) letters(letters string) error {
	if letters == "" {
		return errors.New("-: want a letter behind it")
	}
	for len(letters) > 0 {
		i := slices.IndexFunc(p.known, func(o Option) bool { return o.Short != "" && strings.HasPrefix(letters, o.Short) })
		if i < 0 {
			letter := []rune(letters)[0] // only one: what follows may be a secret
			return p.unknown("-" + string(letter))
		}
		option := p.known[i]
		p.last = "-" + option.Short
		letters = letters[len(option.Short):]
		switch {
		case option.Value == "":
			if err := p.apply(option, p.last, "", true); err != nil {
				return err
			}
			continue
		case letters != "":
			return p.apply(option, p.last, letters, true)
		}
		return p.withNextWord(option)
	}
	return nil
}

// withNextWord takes the value from the next word, whatever it looks like, as curl does.
func (p *parser) withNextWord(option Option) error {
	if len(p.words) == 0 {
		return fmt.Errorf("%s: want a value, %s, behind it", p.last, option.Value)
	}
	value := p.words[0]
	p.words = p.words[1:]
	return p.apply(option, p.last, value, true)
}

func (p *parser) apply(option Option, written, value string, on bool) error {
	if err := option.set(&p.options, value, on); err != nil {
		return fmt.Errorf("%s: %w", written, err)
	}
	return nil
}

// unknown names an option that is not in the list, and the one that was perhaps meant.
func (p *parser) unknown(name string) error {
	for _, o := range p.known {
		if o.Short != "" && strings.EqualFold(name, "-"+o.Short) {
			return fmt.Errorf("%s is not among the options that are understood; did you mean -%s (--%s)?", name, o.Short, o.Long)
		}
	}
	if !strings.HasPrefix(name, "--") {
		return fmt.Errorf("%s is not among the options that are understood", name)
	}
	return fmt.Errorf("%s is not among the options that are understood; did you mean %s?", name, spelling.Nearest(name, p.names()))
}

func (p *parser) names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, o := range p.known {
			if !yield("--" + o.Long) {
				return
			}
		}
	}
}
