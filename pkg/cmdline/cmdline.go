// Package cmdline splits a kernel command line into its parameters, in their order, with no opinion on what they mean.
//
// White space separates parameters. A double quote protects white space, around a value (key="a b") or around
// a whole word ("key=a b"); there is no escape character. This is how the kernel itself reads its line, see
// next_arg in lib/cmdline.c and Documentation/admin-guide/kernel-parameters.rst. Unlike the kernel's module
// parameters, keys are compared letter by letter: "-" and "_" differ, as do upper and lower case.
package cmdline

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// A Param is one parameter of the line.
type Param struct {
	Key string
	// Value is what stands behind the first "=", without the protecting quotes.
	Value string
	// HasValue tells "key=" (true, with an empty value) from "key" (false).
	HasValue bool
	// Source is the file that Load read it from.
	Source string
}

// String returns the parameter as it could be written on a command line.
func (p Param) String() string {
	if !p.HasValue {
		return quote(p.Key)
	}
	return p.Key + "=" + quote(p.Value)
}

func quote(s string) string {
	if strings.ContainsFunc(s, isSpace) {
		return `"` + s + `"`
	}
	return s
}

// Bool reports whether the parameter, taken as a switch, is on. Present means on, unless the value is exactly
// "0", "no" or "off", as dracut's getargbool has it.
func (p Param) Bool() bool {
	return !p.HasValue || (p.Value != "0" && p.Value != "no" && p.Value != "off")
}

// A Line is a command line: parameters in the order in which they were written. Words behind a lone "--" belong to
// init and are not part of it.
type Line []Param

// Parse splits one line. It cannot fail: what the kernel accepts, Parse accepts, an unclosed quote included (it
// reaches to the end).
func Parse(s string) Line {
	var line Line
	for {
		s = strings.TrimLeftFunc(s, isSpace)
		if s == "" {
			return line
		}
		var word string
		word, s = next(s)
		if word == "--" {
			return line
		}
		line = append(line, param(word))
	}
}

// next cuts the first word off s, up to the first white space outside quotes.
func next(s string) (word, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case !quoted && isSpace(rune(s[i])):
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func param(word string) Param {
	if inner, ok := strings.CutPrefix(word, `"`); ok {
		word = strings.TrimSuffix(inner, `"`)
	}
	key, value, found := strings.Cut(word, "=")
	if inner, ok := strings.CutPrefix(value, `"`); ok {
		value = strings.TrimSuffix(inner, `"`)
	}
	return Param{Key: key, Value: value, HasValue: found}
}

// isSpace is the kernel's isspace, for ASCII: what Unicode adds is part of a word.
func isSpace(r rune) bool {
	return r == ' ' || (r >= '\t' && r <= '\r')
}

// Load reads the command line of the system whose root folder is root: first what a site baked into its image,
// etc/cmdline.d/*.conf in the order of their names and etc/cmdline, then proc/cmdline, so that what was
// typed for this boot comes last and wins. Missing files are empty; in the files, unlike in proc/cmdline, a line
// that begins with "#" is a comment.
func Load(root fs.FS) (Line, error) {
	names, err := fs.Glob(root, "etc/cmdline.d/*.conf")
	if err != nil {
		return nil, fmt.Errorf("list etc/cmdline.d: %w", err)
	}
	slices.SortFunc(names, cmp.Compare)
	var line Line
	for _, name := range append(names, "etc/cmdline", "proc/cmdline") {
		data, err := fs.ReadFile(root, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read command line: %w", err)
		}
		if name == "proc/cmdline" {
			line = line.add(name, string(data))
			continue
		}
		for text := range strings.Lines(string(data)) {
			if !strings.HasPrefix(strings.TrimSpace(text), "#") {
				line = line.add(name, text)
			}
		}
	}
	return line, nil
}

func (l Line) add(source, text string) Line {
	for _, p := range Parse(text) {
		p.Source = source
		l = append(l, p)
	}
	return l
}
