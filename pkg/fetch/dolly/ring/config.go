package ring

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	// MaxConfig is more than a configuration has in bytes.
	MaxConfig = 4096
	// MaxFanout is how many children a node has at most.
	MaxFanout = 8
	// padded is the length of a configuration behind which a space is sent: the programs take that many bytes for a part of it.
	padded = 1448
	// maxHost is the longest name of a host.
	maxHost = 255
)

// A Config says who is in the ring.
type Config struct {
	Dialect Dialect
	// Infile and Outfile are names for the file at the server and at the nodes.
	Infile, Outfile string
	// Server is its name; only Dialect06 has it.
	Server string
	// Hosts are the nodes in their order, without the server.
	Hosts []string
	// Fanout is how many children a node has: 1 is a ring, more are a tree. Only Dialect06 has trees.
	Fanout int
	// HyphenNormal tells that a hyphen is a part of a host's name. Otherwise what follows it names one of the host's interfaces.
	HyphenNormal bool
}

// Children returns the places in Hosts of those to which the node at place passes the file; the server is at -1.
func (c Config) Children(place int) []int {
	var places []int
	for i := range c.Fanout {
		if p := (place+1)*c.Fanout + i; p < len(c.Hosts) {
			places = append(places, p)
		}
	}
	return places
}

// Parent returns the place of the node before that at place, -1 for the server.
func (c Config) Parent(place int) int { return place/c.Fanout - 1 }

// Text returns the configuration as it is sent.
func (c Config) Text() ([]byte, error) {
	if len(c.Hosts) == 0 {
		return nil, errors.New("there are no hosts")
	}
	if i := slices.IndexFunc(c.Hosts, func(h string) bool { return !isHost(h) }); i >= 0 {
		return nil, fmt.Errorf("%q is no name of a host", c.Hosts[i])
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "infile %s\noutfile %s\n", c.Infile, c.Outfile)
	if c.Dialect == Dialect06 && c.Fanout > 1 {
		fmt.Fprintf(&b, "fanout %d\n", c.Fanout)
	}
	if c.HyphenNormal {
		b.WriteString("hyphennormal\n")
	}
	if c.Dialect == Dialect06 {
		fmt.Fprintf(&b, "server %s\nfirstclient %s\nlastclient %s\nclients %d\n", c.Server, c.Hosts[0], c.Hosts[len(c.Hosts)-1], len(c.Hosts))
	}
	fmt.Fprintf(&b, "%s\nendconfig\n", strings.Join(c.Hosts, "\n"))
	if b.Len() == padded {
		b.WriteByte(' ')
	}
	if b.Len() >= MaxConfig {
		return nil, fmt.Errorf("the configuration has %d bytes, which is more than the %d that a node reads: use a smaller ring, or shorter names",
			b.Len(), MaxConfig-1)
	}
	return b.Bytes(), nil
}

// ParseConfig reads a configuration.
func ParseConfig(d Dialect, text []byte) (Config, error) {
	if len(text) >= MaxConfig {
		return Config{}, fmt.Errorf("the configuration has %d bytes, and may have %d", len(text), MaxConfig-1)
	}
	p := configParser{c: Config{Dialect: d, Fanout: 1}, count: -1}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimRight(line, "\r\n"); strings.TrimRight(line, " ") == "endconfig" {
			return p.finish()
		}
		if err := p.line(line); err != nil {
			return Config{}, err
		}
	}
	return Config{}, errors.New("the configuration has no end")
}

type configParser struct {
	c     Config
	lines int
	// count is how many hosts are announced, -1 before.
	count int
}

// line reads one: the two files come first, then options, then the hosts.
func (p *configParser) line(line string) error {
	p.lines++
	switch {
	case p.lines == 1:
		return file(&p.c.Infile, "infile", line)
	case p.lines == 2:
		return file(&p.c.Outfile, "outfile", line)
	case line == "":
		return nil
	case p.count >= 0 || len(p.c.Hosts) > 0:
		return p.host(line)
	}
	word, value, _ := strings.Cut(line, " ")
	switch {
	case word == "hyphennormal" || word == "hypheninterface": // the programs read the second as the first, whatever its name says
		p.c.HyphenNormal = true
	case p.c.Dialect == Dialect07:
		return p.host(line)
	case word == "segsize", word == "firstclient", word == "lastclient":
	case word == "server":
		p.c.Server = value
	case word == "fanout":
		return number(&p.c.Fanout, word, value, MaxFanout)
	case word == "clients":
		return number(&p.count, word, value, MaxConfig)
	case word == "add", word == "add2":
		return errors.New("the server uses several network interfaces at once (add), which is not supported here: take it out of its configuration")
	default:
		return fmt.Errorf("the configuration has an unknown line: %.40q", line)
	}
	return nil
}

func (p *configParser) host(line string) error {
	if !isHost(line) {
		return fmt.Errorf("the configuration has %.40q in the place of a host", line)
	}
	p.c.Hosts = append(p.c.Hosts, line)
	return nil
}

func (p *configParser) finish() (Config, error) {
	switch {
	case len(p.c.Hosts) == 0:
		return Config{}, errors.New("the configuration names no hosts")
	case p.c.Dialect == Dialect06 && p.count != len(p.c.Hosts):
		return Config{}, fmt.Errorf("the configuration announces %d hosts and names %d", max(p.count, 0), len(p.c.Hosts))
	}
	return p.c, nil
}

// file reads the name of a file; that it is compressed, or in parts, is the server's affair.
func file(to *string, word, line string) error {
	name, ok := strings.CutPrefix(strings.TrimPrefix(line, "compressed "), word+" ")
	if !ok {
		return fmt.Errorf("the configuration has %.40q in the place of %s", line, word)
	}
	*to, _, _ = strings.Cut(name, " ")
	return nil
}

func number(to *int, word, value string, limit int) error {
	n, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil || n < 1 || n > limit {
		return fmt.Errorf("the configuration has %.20q in the place of the number of %s, from 1 to %d", value, word, limit)
	}
	*to = n
	return nil
}

// isHost reports whether s can be a name or an address. What else a line may hold shall not reach a terminal or a resolver.
func isHost(s string) bool {
	if s == "" || len(s) > maxHost || s == "endconfig" {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == ':', c == '-' && i > 0:
		default:
			return false
		}
	}
	return true
}
