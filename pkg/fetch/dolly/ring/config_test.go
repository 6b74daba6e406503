package ring

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseConfig(t *testing.T) {
	for _, tt := range []struct {
		name    string
		dialect Dialect
		text    string
		want    Config
		err     string
	}{
		{"0.7x", Dialect07, "infile /a b\noutfile /c\nn1\nn2\nendconfig\n", Config{Dialect: Dialect07, Infile: "/a", Outfile: "/c", Hosts: []string{"n1", "n2"}, Fanout: 1}, ""},
		{"hyphens, an empty line, Windows", Dialect07, "infile a\r\noutfile b\r\nhyphennormal\r\n\r\nn-1\r\nendconfig", Config{Dialect: Dialect07, Infile: "a", Outfile: "b", Hosts: []string{"n-1"}, Fanout: 1, HyphenNormal: true}, ""},
		{"0.6x", Dialect06, "infile a\noutfile b\nserver s\nfirstclient n1\nlastclient n2\nclients 2\nn1\nn2\nendconfig\n", Config{Dialect: Dialect06, Infile: "a", Outfile: "b", Server: "s", Hosts: []string{"n1", "n2"}, Fanout: 1}, ""},
		{"0.6x with everything", Dialect06, "compressed infile a.gz split\ncompressed outfile b split 2G\nsegsize 1460\nfanout 2\nhypheninterface\nserver s\nfirstclient n1\nlastclient n1\nclients 1\nn1\nendconfig\n ", Config{Dialect: Dialect06, Infile: "a.gz", Outfile: "b", Server: "s", Hosts: []string{"n1"}, Fanout: 2, HyphenNormal: true}, ""},
		{"a host of which the end is the beginning", Dialect07, "infile a\noutfile b\nendconfig2\nendconfig\n", Config{Dialect: Dialect07, Infile: "a", Outfile: "b", Hosts: []string{"endconfig2"}, Fanout: 1}, ""},
		{"interfaces", Dialect06, "infile a\noutfile b\nadd 1:-giga\nserver s\n", Config{}, "(add)"},
		{"no end", Dialect07, "infile a\noutfile b\nn1\n", Config{}, "has no end"},
		{"no hosts", Dialect07, "infile a\noutfile b\nendconfig\n", Config{}, "names no hosts"},
		{"fewer hosts", Dialect06, "infile a\noutfile b\nclients 2\nn1\nendconfig\n", Config{}, "announces 2 hosts and names 1"},
		{"no count", Dialect06, "infile a\noutfile b\nendconfig\n", Config{}, "names no hosts"},
		{"wrong fanout", Dialect06, "infile a\noutfile b\nfanout 0\n", Config{}, "from 1 to 8"},
		{"huge fanout", Dialect06, "infile a\noutfile b\nfanout 99999999999999999999\n", Config{}, "from 1 to 8"},
		{"unknown word", Dialect06, "infile a\noutfile b\nfoo 1\n", Config{}, `"foo 1"`},
		{"no infile", Dialect07, "outfile b\n", Config{}, "in the place of infile"},
		{"no outfile", Dialect07, "infile b\nn1\n", Config{}, "in the place of outfile"},
		{"host is an option", Dialect07, "infile a\noutfile b\n-rf\nendconfig\n", Config{}, "in the place of a host"},
		{"too long", Dialect07, strings.Repeat("a", MaxConfig), Config{}, "may have 4095"},
	} {
		got, err := ParseConfig(tt.dialect, []byte(tt.text))
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: ParseConfig = %v, want %q", tt.name, err, tt.err)
		}
		if diff := cmp.Diff(tt.want, got); err == nil && diff != "" {
			t.Errorf("%s: ParseConfig: %s", tt.name, diff)
		}
	}
}

// TestText writes configurations that are read again as they were.
func TestText(t *testing.T) {
	hosts := func(n, length int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf("%0*d", length, i))
		}
		return list
	}
	for _, tt := range []struct {
		name   string
		config Config
		length int // 0: any
		err    string
	}{
		{"0.7x", Config{Dialect: Dialect07, Infile: "a", Outfile: "b", Hosts: hosts(16, 9), Fanout: 1}, 0, ""},
		{"0.6x", Config{Dialect: Dialect06, Infile: "a", Outfile: "b", Server: "s", Hosts: hosts(16, 9), Fanout: 3, HyphenNormal: true}, 0, ""},
		// The programs take a piece of 1448 bytes for a part of a longer one.
		{"of the length that needs padding", Config{Dialect: Dialect07, Infile: "a", Outfile: "b", Hosts: append(hosts(14, 99), strings.Repeat("x", 18)), Fanout: 1}, padded + 1, ""},
		{"too long", Config{Dialect: Dialect07, Infile: "a", Outfile: "b", Hosts: hosts(41, 99), Fanout: 1}, 0, "smaller ring"},
		{"no hosts", Config{Dialect: Dialect07, Fanout: 1}, 0, "no hosts"},
		{"no host", Config{Dialect: Dialect07, Hosts: []string{"a b"}, Fanout: 1}, 0, `"a b"`},
	} {
		text, err := tt.config.Text()
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: Text = %v, want %q", tt.name, err, tt.err)
		}
		if err != nil {
			continue
		}
		if tt.length > 0 && len(text) != tt.length {
			t.Errorf("%s: Text has %d bytes, want %d", tt.name, len(text), tt.length)
		}
		got, err := ParseConfig(tt.config.Dialect, text)
		if diff := cmp.Diff(tt.config, got); err != nil || diff != "" {
			t.Errorf("%s: ParseConfig(Text) = %v: %s", tt.name, err, diff)
		}
	}
}

func TestChildren(t *testing.T) {
	for _, tt := range []struct {
		hosts, fanout int
		want          [][]int // of the server, and of each node
	}{
		{1, 1, [][]int{{0}, nil}},
		{3, 1, [][]int{{0}, {1}, {2}, nil}},
		{6, 2, [][]int{{0, 1}, {2, 3}, {4, 5}, nil, nil, nil, nil}},
		{4, 3, [][]int{{0, 1, 2}, {3}, nil, nil, nil}},
	} {
		c := Config{Hosts: make([]string, tt.hosts), Fanout: tt.fanout}
		for i, want := range tt.want {
			got := c.Children(i - 1)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%d hosts, fanout %d: Children(%d): %s", tt.hosts, tt.fanout, i-1, diff)
			}
			for _, child := range got {
				if parent := c.Parent(child); parent != i-1 {
					t.Errorf("%d hosts, fanout %d: Parent(%d) = %d, want %d", tt.hosts, tt.fanout, child, parent, i-1)
				}
			}
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add(true, []byte("infile a\noutfile b\nserver s\nfirstclient n1\nlastclient n2\nclients 2\nn1\nn2\nendconfig\n"))
	f.Add(false, []byte("infile a\noutfile b\nhyphennormal\nn1\nendconfig\n"))
	f.Fuzz(func(t *testing.T, old bool, text []byte) {
		d := Dialect07
		if old {
			d = Dialect06
		}
		c, err := ParseConfig(d, text)
		if err != nil {
			return
		}
		if len(c.Hosts) == 0 || c.Fanout < 1 || c.Fanout > MaxFanout {
			t.Fatalf("ParseConfig(%q) = %+v", text, c)
		}
		again, err := c.Text()
		if err != nil {
			return // names of files may be too long now
		}
		if _, err := ParseConfig(d, again); err != nil && !bytes.ContainsAny([]byte(c.Infile+c.Outfile+c.Server), "\r\x00") {
			t.Fatalf("ParseConfig(%q): %v", again, err)
		}
	})
}
