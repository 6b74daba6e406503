// Package template fills in what a URL says about the machine: ${mac}, ${serial} and so on.
//
// What is filled in is escaped as one segment of a URL's path (RFC 3986), so that no value can change the structure of the URL: a
// serial number "A/7 x" becomes "A%2F7%20x". A segment that would be "." or ".." is refused, since no escape takes their meaning from
// them. A "$" that is not followed by "{" is a "$"; there is no way to write "${" for itself, which no URL needs: it may be written
// "$%7B".
package template

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/liveboot/liveboot/pkg/spelling"
)

// Facts are what is known of the machine. An empty one is not known.
type Facts struct {
	// MAC is the hardware address of the interface that the machine boots from, written "52-54-00-12-34-56": a colon has a meaning in URLs.
	MAC string
	// IP is the address of that interface.
	IP netip.Addr
	// Hostname is the host's name without the domain, from DHCP or ip=.
	Hostname string
	// UUID and Serial are what the firmware says, see ReadFirmware.
	UUID, Serial string
	// Arch is the architecture as `uname -m` prints it, "x86_64" or "aarch64".
	Arch string
	// Kernel is the running kernel's release as `uname -r` prints it.
	Kernel string
}

// A Name is a word that may stand between ${ and }.
type Name struct {
	Name string
	// Doc is a sentence without its first words, "The … is".
	Doc string
	// Source says where to look when it is not known.
	Source string
	value  func(Facts) string
}

// Names returns the names, in the order in which they are documented.
func Names() []Name {
	return []Name{
		{"mac", "the hardware address of the interface, as `52-54-00-12-34-56`", "no interface is up", func(f Facts) string {
			return strings.ToLower(strings.ReplaceAll(f.MAC, ":", "-"))
		}},
		{"ip", "the interface's address", "no interface has an address", func(f Facts) string {
			if !f.IP.IsValid() {
				return ""
			}
			return f.IP.Unmap().WithZone("").String()
		}},
		{"hostname", "the host name, from DHCP or `ip=`", "neither DHCP nor ip= gave one", func(f Facts) string { return f.Hostname }},
		{"uuid", "the machine's UUID, from its firmware", "the firmware tells none", func(f Facts) string { return f.UUID }},
		{"serial", "the machine's serial number, from its firmware", "the firmware tells none", func(f Facts) string { return f.Serial }},
		{"arch", "the architecture, as `uname -m` has it", "it was not asked for", func(f Facts) string { return f.Arch }},
		{"kernel", "the release of the running kernel, as `uname -r` has it", "it was not asked for", func(f Facts) string { return f.Kernel }},
	}
}

// Uses reports whether there is anything in a text to fill in.
func Uses(text string) bool { return strings.Contains(text, "${") }

// Check says what is wrong with a text whatever the machine: a name that is not known, or a brace that is not closed.
func Check(text string) error {
	_, err := expand(text, func(Name) (string, error) { return "x", nil })
	return err
}

// Expand fills in the facts.
func Expand(text string, facts Facts) (string, error) {
	return expand(text, func(n Name) (string, error) {
		value := n.value(facts)
		switch {
		case value == "":
			return "", fmt.Errorf("${%s} is not known: %s", n.Name, n.Source)
		case value == "." || value == "..":
			return "", fmt.Errorf("${%s} is %q, which a server would take for a folder", n.Name, value)
		}
		return escape(value), nil
	})
}

// escape leaves only what has no meaning anywhere in a URL, host and query included.
func escape(value string) string {
	// QueryEscape escapes all but letters, digits and "-_.~", and writes "+" for a space, which only a query understands.
	return strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
}

// expand puts what fill returns in the place of every name, and joins all errors.
func expand(text string, fill func(Name) (string, error)) (string, error) {
	names := Names()
	var b strings.Builder
	var errs []error
	for {
		before, rest, found := strings.Cut(text, "${")
		b.WriteString(before)
		if !found {
			break
		}
		word, after, closed := strings.Cut(rest, "}")
		if !closed {
			errs = append(errs, errors.New("a ${ has no }"))
			break
		}
		text = after
		i := slices.IndexFunc(names, func(n Name) bool { return n.Name == word })
		if i < 0 {
			errs = append(errs, unknown(word, names))
			continue
		}
		value, err := fill(names[i])
		errs = append(errs, err)
		b.WriteString(value)
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	return b.String(), nil
}

func unknown(word string, names []Name) error {
	var known []string
	for _, n := range names {
		known = append(known, n.Name)
	}
	return fmt.Errorf("${%s} is not a name; did you mean ${%s}? There are %s", word, spelling.Nearest(word, slices.Values(known)), strings.Join(known, ", "))
}
