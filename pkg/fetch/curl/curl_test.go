package curl

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/needs"
)

func pointer(n int) *int { return &n }

// row is a list of options. Unless it is newer than the curl of the system, curl has to accept and refuse the same.
type row struct {
	in    string
	want  fetch.Options
	newer bool
}

func accepted() []row {
	type o = fetch.Options
	return []row{
		{in: ""},
		{in: ",,"},
		{in: "-k", want: o{Insecure: true}},
		{in: "--insecure", want: o{Insecure: true}},
		{in: "-k,--no-insecure"},
		{in: "--cacert,/etc/ca.pem", want: o{CACert: "/etc/ca.pem"}},
		{in: "--capath,/etc/ca", want: o{CAPath: "/etc/ca"}},
		{in: "-u,user:pass", want: o{User: "user:pass"}},
		{in: "-uuser:pass", want: o{User: "user:pass"}},
		{in: "--user,'user:pass word'", want: o{User: "user:pass word"}},
		{in: "-x,proxy", want: o{Proxy: "http://proxy:1080"}},
		{in: "-xproxy:3128", want: o{Proxy: "http://proxy:3128"}},
		{in: "--proxy,http://user:p%40ss@proxy:3128/", want: o{Proxy: "http://user:p%40ss@proxy:3128"}},
		{in: "--proxy,https://proxy", want: o{Proxy: "https://proxy:443"}},
		{in: "-x,socks5h://[2001:db8::1]", want: o{Proxy: "socks5h://[2001:db8::1]:1080"}},
		{in: "-x,proxy,-x,''"},
		{in: "--noproxy,a.example", want: o{NoProxy: []string{"a.example"}}},
		{in: "--noproxy,'a.example,10.0.0.0/8'", want: o{NoProxy: []string{"a.example", "10.0.0.0/8"}}},
		{in: "--noproxy,*", want: o{NoProxy: []string{"*"}}},
		{in: "-H,X-Token:abc", want: o{Headers: []fetch.Header{{Name: "X-Token", Value: "abc"}}}},
		{in: "-H,'X-A: b c',--header,X-D:", want: o{Headers: []fetch.Header{{Name: "X-A", Value: "b c"}, {Name: "X-D", Remove: true}}}},
		{in: "-HX-Empty;", want: o{Headers: []fetch.Header{{Name: "X-Empty"}}}},
		{in: "-A,liveboot/1", want: o{UserAgent: "liveboot/1"}},
		{in: "--user-agent,''", want: o{Headers: []fetch.Header{{Name: "User-Agent", Remove: true}}}},
		{in: "--retry,3,--retry-delay,3,--speed-limit,2048", want: o{Retry: pointer(3), RetryDelay: 3 * time.Second, SpeedLimit: 2048, SpeedTime: 30 * time.Second}},
		{in: "--retry,3,--retry,5", want: o{Retry: pointer(5)}},
		{in: "--retry=3,-k", want: o{Retry: pointer(3), Insecure: true}, newer: true},
		{in: "--retry,0", want: o{Retry: pointer(0)}},
		{in: "--retry-delay,2.5", want: o{RetryDelay: 2500 * time.Millisecond}, newer: true},
		{in: "--retry-max-time,600", want: o{RetryMaxTime: 10 * time.Minute}},
		{in: "--retry-connrefused"},
		{in: "--retry-all-errors", want: o{RetryAllErrors: true}},
		{in: "--connect-timeout,2.5", want: o{ConnectTimeout: 2500 * time.Millisecond}},
		{in: "-m,30", want: o{MaxTime: 30 * time.Second}},
		{in: "-m30", want: o{MaxTime: 30 * time.Second}},
		{in: "--max-time,0.0015", want: o{MaxTime: time.Millisecond}},
		{in: "-y,5", want: o{SpeedTime: 5 * time.Second}},
		{in: "-y,5,-Y,100", want: o{SpeedTime: 5 * time.Second, SpeedLimit: 100}},
		{in: "-Y100,-y5", want: o{SpeedTime: 5 * time.Second, SpeedLimit: 100}},
		{in: "-Y,0"},
		{in: "--limit-rate,100", want: o{LimitRate: 100}},
		{in: "--limit-rate,100b", want: o{LimitRate: 100}},
		{in: "--limit-rate,10k", want: o{LimitRate: 10 << 10}},
		{in: "--limit-rate,3M", want: o{LimitRate: 3 << 20}},
		{in: "--limit-rate,2G", want: o{LimitRate: 2 << 30}},
		{in: "--limit-rate,1.5M", want: o{LimitRate: 3 << 19}, newer: true},
		{in: "-L"},
		{in: "--location"},
		{in: "--no-location", want: o{NoLocation: true}},
		{in: "--max-redirs,5", want: o{MaxRedirects: pointer(5)}},
		{in: "--max-redirs,-1", want: o{MaxRedirects: pointer(-1)}},
		{in: "-4", want: o{IPVersion: 4}},
		{in: "-4,--ipv6", want: o{IPVersion: 6}},
		{in: "--interface,eth0", want: o{Interface: "eth0"}},
		{in: "--interface,if!eth0", want: o{Interface: "eth0"}},
		{in: "--interface,host!10.0.0.1", want: o{Interface: "10.0.0.1"}},
		{in: "--cert,/etc/c.pem,--key,/etc/k.pem", want: o{Cert: "/etc/c.pem", Key: "/etc/k.pem"}},
		{in: `-E,'/etc/a\:b.pem'`, want: o{Cert: "/etc/a:b.pem"}},
		{in: "--tlsv1.2", want: o{MinTLS: tls.VersionTLS12}},
		{in: "--tlsv1.2,--tlsv1.3", want: o{MinTLS: tls.VersionTLS13}},
		{in: "-P,-", want: o{FTPPort: "-"}},
		{in: "--ftp-port,eth0,--ftp-pasv"},
		{in: "--ssl-reqd", want: o{SSLRequired: true}},
		{in: "-s,-S,-f,-#"},
		{in: "--silent,--show-error,--fail,--progress-bar,--no-fail"},
		{in: "-sSfL"},
		{in: "-kLm30", want: o{Insecure: true, MaxTime: 30 * time.Second}},
		{in: "-ku,a:b", want: o{Insecure: true, User: "a:b"}},
		{in: "-k  -4\t-s", want: o{Insecure: true, IPVersion: 4}},
	}
}

func TestApply(t *testing.T) {
	for _, tt := range accepted() {
		var got fetch.Options
		if err := Apply(&got, tt.in); err != nil {
			t.Errorf("Apply(%q): %v", tt.in, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("Apply(%q) (-want +got):\n%s", tt.in, diff)
		}
	}
}

func TestApplyErrors(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		ours     bool // curl accepts it
	}{
		{"--insecur", "--insecur is not among the options that are understood; did you mean --insecure?", true},
		{"--proxy-user,a:secret", "--proxy-user is not", true},
		{"--proxy-user=a:secret", "--proxy-user is not", false},
		{"-o,/dev/sda", "-o is not among the options that are understood", true},
		{"-K,x", "-K is not among the options that are understood; did you mean -k (--insecure)?", true},
		{"-kpsecret", "-p is not among", true},
		{"--", "belongs to no option", true},
		{"-", "want a letter", false},
		{"http://server/secret", "behind the =", true},
		{"-u,user:pass,secret", "the word behind -u belongs to no option", true},
		{"--noproxy,a,b", "the word behind --noproxy belongs to no option", true},
		{"-k,--retry", "--retry: want a value, <number>", false},
		{"-m", "-m: want a value, <seconds>", false},
		{"--retry,-1", "--retry: want a whole number of at least 0", false},
		{"--retry,x", `--retry: want a whole number of at least 0, not "x"`, false},
		{"--max-redirs,-2", "--max-redirs: want a whole number of at least -1", false},
		{"-m,2.5.1", "-m: want seconds", false},
		{"-m,-1", "-m: want seconds", true},
		{"-m,1e3", "-m: want seconds", true},
		{"-m,99999999999999", "-m: want seconds", true},
		{"-y,2.5", "-y: want a whole number", false},
		{"-Y,1k", "-Y: want a whole number", false},
		{"--limit-rate,1x", "--limit-rate: want bytes per second", false},
		{"--limit-rate,1.5", "--limit-rate: want bytes per second", false},
		{"--limit-rate,k", "--limit-rate: want bytes per second", false},
		{"--limit-rate,", "--limit-rate: want a value", false},
		{"--limit-rate,9999999999P", "--limit-rate: want bytes per second", false},
		{"--no-retry,3", "--no- is for switches only", false},
		{"--insecure=secret", "--insecure takes no value", false},
		{"--cacert,''", "--cacert: want <file>, not an empty word", true},
		{"-x,ftp://proxy", "-x: a proxy of the kind ftp:// is not known, want one of http, https, socks5, socks5h", true},
		{"-x,http://a:secret@:8080", "-x: want [scheme://]", true},
		{"-x,http://a:sec/ret@proxy", "-x: want [scheme://]", true},
		{"-H,@file", "-H: headers from a file", true},
		{"-H,secret", "-H: want 'name: value'", true},
		{"-H,secret name:x", "-H: want 'name: value'", true},
		{"--interface,ifhost!eth0!10.0.0.1", "--interface: want", true},
		{"-E,c.pem:secret", "-E: a password for the key is not supported", true},
		{"-H,'X", "single quote", false},
		{`-H,"X`, "double quote", false},
		{`-k\`, "backslash", true},
	} {
		before := fetch.Options{Headers: []fetch.Header{{Name: "X"}}, Retry: pointer(1)}
		got := before
		err := Apply(&got, tt.in)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Apply(%q): %v, want %q", tt.in, err, tt.want)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("Apply(%q): %v, which shows a secret", tt.in, err)
		}
		if diff := cmp.Diff(before, got); diff != "" {
			t.Errorf("Apply(%q) failed and changed (-before +after):\n%s", tt.in, diff)
		}
		if !tt.ours && curlAccepts(t, tt.in) {
			t.Errorf("Apply(%q): %v, but curl accepts it", tt.in, err)
		}
	}
}

// curlAccepts lets curl read the same words in front of --version, which it does, and ends, only if nothing is wrong with them. The
// shell is the one that the reference has.
func curlAccepts(t *testing.T, list string) bool {
	bash, curl := needs.Program(t, "bash", "bash"), needs.Program(t, "curl", "curl")
	cmd := exec.Command(bash, "-c", `eval "$0 -q $1 --version"`, curl, strings.ReplaceAll(list, ",", " "))
	cmd.Dir = t.TempDir()
	out, err := cmd.Output()
	return err == nil && strings.HasPrefix(string(out), "curl ")
}

func TestCurlAccepts(t *testing.T) {
	for _, tt := range accepted() {
		if tt.newer || strings.Contains(tt.in, "#") || strings.HasSuffix(tt.in, ";") {
			continue // # and ; have a meaning for the shell
		}
		if !curlAccepts(t, tt.in) {
			t.Errorf("curl refuses %q", tt.in)
		}
	}
}

// TestWords compares with the shell.
func TestWords(t *testing.T) {
	bash := needs.Program(t, "bash", "bash")
	for _, in := range []string{
		"", "a", "a,b", " a ,, b ", "'a b',c", `"a b"c`, `a'b c'"d e"f`, `''`, `"",''`, `a\ b`, `\'`, `"\""`, `"\a"`, `'\'`, `"\\"`, `"a'b"`, `'a"b'`, `-H,"X: a,b"`,
	} {
		got, err := Words(in)
		if err != nil {
			t.Errorf("Words(%q): %v", in, err)
		}
		out, err := exec.Command(bash, "-c", `eval "set -- $0"; [ $# -eq 0 ] || printf '%s\0' "$@"`, strings.ReplaceAll(in, ",", " ")).Output()
		if err != nil {
			t.Fatalf("bash: %v", err)
		}
		if want := strings.SplitAfter(string(out), "\x00"); strings.Join(got, "\x00")+"\x00" != strings.Join(want, "") && (len(got) > 0 || len(out) > 0) {
			t.Errorf("Words(%q) = %q, the shell has %q", in, got, out)
		}
	}
}

// TestOptions: the rows are those that are promised, and every one has a test.
func TestOptions(t *testing.T) {
	promised := "-k --insecure --cacert --capath -u --user -x --proxy --noproxy -H --header -A --user-agent --retry --retry-delay --retry-max-time " +
		"--retry-connrefused --retry-all-errors --connect-timeout -m --max-time -y --speed-time -Y --speed-limit --limit-rate -L --location --max-redirs " +
		"-4 -6 --interface --cert --key --tlsv1.2 --tlsv1.3 --ftp-pasv -P --ftp-port --ssl-reqd -s -S -f -#"
	names := map[string]bool{}
	for _, o := range Options() {
		names["--"+o.Long] = true
		if o.Short != "" {
			names["-"+o.Short] = true
		}
		if !strings.HasSuffix(o.Doc, ".") || !strings.Contains(o.Names(), "--"+o.Long) {
			t.Errorf("%s has no sentence", o.Names())
		}
		if tested := slices.ContainsFunc(accepted(), func(r row) bool {
			return strings.Contains(r.in, "--"+o.Long) || o.Short != "" && strings.Contains(r.in, "-"+o.Short)
		}); !tested {
			t.Errorf("%s has no test", o.Names())
		}
	}
	for name := range strings.FieldsSeq(promised) {
		if !names[name] {
			t.Errorf("%s is not in the list", name)
		}
	}
}

// TestNames: the letters and names are curl's.
func TestNames(t *testing.T) {
	curl := needs.Program(t, "curl", "curl")
	out, err := exec.Command(curl, "--help", "all").Output()
	if err != nil {
		t.Fatalf("curl --help all: %v", err)
	}
	for _, o := range Options() {
		want := "     --" + o.Long + " "
		if o.Short != "" {
			want = " -" + o.Short + ", --" + o.Long + " "
		}
		if !strings.Contains(string(out), want) {
			t.Errorf("curl has no option %q", want)
		}
	}
}

// FuzzApply: no list makes a panic, and what was read does not show a password.
func FuzzApply(f *testing.F) {
	for _, r := range accepted() {
		f.Add(r.in)
	}
	f.Fuzz(func(t *testing.T, list string) {
		var o fetch.Options
		if err := Apply(&o, list); err != nil {
			return
		}
		o = fetch.Options{}
		if err := Apply(&o, list+" -u a:Zq9secret -H X:Zq9secret -x http://a:Zq9secret@proxy"); err != nil {
			t.Fatalf("Apply(%q) with three options behind it: %v", list, err)
		}
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(fmt.Sprintf("%v %+v %s", o, o, text), "Zq9secret") && !strings.Contains(list, "Zq9secret") {
			t.Errorf("%q: the options show a password: %+v", list, o)
		}
	})
}
