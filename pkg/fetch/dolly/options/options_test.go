package options

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/liveboot/liveboot/pkg/fetch"
)

func TestApply(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want fetch.DollyOptions
		err  string
	}{
		{"", fetch.DollyOptions{}, ""},
		{"-v", fetch.DollyOptions{Verbose: true}, ""},
		{"-vYq,-n,-R,-4", fetch.DollyOptions{Verbose: true, HyphenNormal: true}, ""},
		{"-P,secret", fetch.DollyOptions{Password: "secret"}, ""},
		{"-Psecret", fetch.DollyOptions{Password: "secret"}, ""},
		{"-vPsecret", fetch.DollyOptions{Verbose: true, Password: "secret"}, ""},
		{"-P,'two words'", fetch.DollyOptions{Password: "two words"}, ""},
		{"-P,-v", fetch.DollyOptions{Password: "-v"}, ""},
		{"-P,old,-P,new", fetch.DollyOptions{Password: "new"}, ""},
		{"--password-file,/etc/dolly/dolly.env", fetch.DollyOptions{PasswordFile: "/etc/dolly/dolly.env"}, ""},
		{"-a,180,-r5,-o,/tmp/log", fetch.DollyOptions{Wait: 3 * time.Minute, Retry: 5}, ""},
		{"--from=192.0.2.7,--from,198.51.100.9/24", fetch.DollyOptions{From: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("198.51.100.0/24")}}, ""},
		{"-I,/image", fetch.DollyOptions{}, "-I is an option of dolly's server"},
		{"-vH,a", fetch.DollyOptions{}, "-H is an option of dolly's server"},
		{"-zsecret", fetch.DollyOptions{}, `"-z" is not among`},
		{"--form=x", fetch.DollyOptions{}, "did you mean --from?"},
		{"-v=1", fetch.DollyOptions{}, `"-=" is not among`},
		{"-P", fetch.DollyOptions{}, "-P: want a value"},
		{"-P,''", fetch.DollyOptions{}, "-P: want a value"},
		{"-a,0", fetch.DollyOptions{}, "-a: want a number"},
		{"-a,99999999999", fetch.DollyOptions{}, "-a: want a number from 1 to 31536000, in seconds"},
		{"-r,x", fetch.DollyOptions{}, "-r: want a number"},
		{"--from=fd00::/8", fetch.DollyOptions{}, "--from: want an IPv4"},
		{"--from=here", fetch.DollyOptions{}, "--from: want an IPv4"},
		{"-P,sec,ret", fetch.DollyOptions{}, "the word behind -P"},
		{"-P,'x", fetch.DollyOptions{}, "no end"},
	} {
		var got fetch.DollyOptions
		err := Apply(&got, tt.in)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("Apply(%q) = %v, want %q", tt.in, err, tt.err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("Apply(%q) = %v, which shows a secret", tt.in, err)
		}
		if diff := cmp.Diff(tt.want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Errorf("Apply(%q): %s", tt.in, diff)
		}
	}
}

// TestOptions: every option is described, once, and can be applied.
func TestOptions(t *testing.T) {
	values := map[string]string{"<seconds>": "7", "<number>": "7", "<bytes>": "7", "<address[/bits]>": "192.0.2.1"}
	seen := map[string]bool{}
	for _, o := range Options() {
		if seen[o.Name] || !strings.HasSuffix(o.Doc, ".") && !strings.HasSuffix(o.Doc, ")") {
			t.Errorf("%s: doc %q, seen before: %v", o.Name, o.Doc, seen[o.Name])
		}
		seen[o.Name] = true
		list := o.Name
		if o.Value != "" {
			value, ok := values[o.Value]
			if !ok {
				value = "x"
			}
			list += "," + value
		}
		var got fetch.DollyOptions
		if err := Apply(&got, list); err != nil {
			t.Errorf("Apply(%q) = %v", list, err)
		}
		if changed := !cmp.Equal(got, fetch.DollyOptions{}, cmpopts.EquateComparable(netip.Prefix{})); changed == (o.Doc == "No effect.") {
			t.Errorf("%s: %q, and changes something: %v", o.Name, o.Doc, changed)
		}
	}
	for _, letter := range strings.Split(serverOptions, "") {
		if seen["-"+letter] {
			t.Errorf("-%s is both a client's and a server's", letter)
		}
	}
}
