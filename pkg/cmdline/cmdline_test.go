package cmdline

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	flag := func(k string) Param { return Param{Key: k} }
	kv := func(k, v string) Param { return Param{Key: k, Value: v, HasValue: true} }
	for _, tt := range []struct {
		name string
		in   string
		want Line
	}{
		{"empty", "", nil},
		{"only space", " \t\n", nil},
		{"flag and value", "quiet ip=dhcp\n", Line{flag("quiet"), kv("ip", "dhcp")}},
		{"empty value", "rd.shell=", Line{kv("rd.shell", "")}},
		{"value with equals signs", "root=live:http://h/i?a=b&c=d", Line{kv("root", "live:http://h/i?a=b&c=d")}},
		{"quoted value", `a="b c" d`, Line{kv("a", "b c"), flag("d")}},
		{"quoted word", `"a=b c" d`, Line{kv("a", "b c"), flag("d")}},
		{"quote inside a word", `a=x"y z"`, Line{kv("a", `x"y z"`)}},
		{"unclosed quote", `a="b c`, Line{kv("a", "b c")}},
		{"no escape", `a=b\ c`, Line{kv("a", `b\`), flag("c")}},
		{"order and repetition kept", "ip=a quiet ip=b", Line{kv("ip", "a"), flag("quiet"), kv("ip", "b")}},
		{"words for init", "quiet -- 3 x=y", Line{flag("quiet")}},
		{"a quoted -- is for init too", `quiet "--"`, Line{flag("quiet"), flag("--")}},
		{"keys are literal", "rd-x RD_X", Line{flag("rd-x"), flag("RD_X")}},
		{"unicode space is a letter", "a=b\u00a0c", Line{kv("a", "b\u00a0c")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Parse(tt.in)); diff != "" {
				t.Errorf("Parse(%q) (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

func TestBool(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want bool
	}{
		{"rd.x", true}, {"rd.x=", true}, {"rd.x=1", true}, {"rd.x=false", true}, {"rd.x=NO", true},
		{"rd.x=0", false}, {"rd.x=no", false}, {"rd.x=off", false},
	} {
		if got := Parse(tt.in)[0].Bool(); got != tt.want {
			t.Errorf("Parse(%q)[0].Bool() = %v, want %v", tt.in, got, tt.want)
		}
	}
}

func TestLoad(t *testing.T) {
	root := fstest.MapFS{
		"etc/cmdline.d/20-b.conf": {Data: []byte("x=20\n")},
		"etc/cmdline.d/10-a.conf": {Data: []byte("# the site's default\nx=10 y=1\nz\n")},
		"etc/cmdline.d/ignored":   {Data: []byte("x=never\n")},
		"etc/cmdline":             {Data: []byte("x=30 -- init words\n")},
		"proc/cmdline":            {Data: []byte("x=40 # -- 3\n")},
	}
	got, err := Load(root)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	var words []string
	for _, p := range got {
		words = append(words, p.String()+" of "+p.Source)
	}
	want := []string{
		"x=10 of etc/cmdline.d/10-a.conf", "y=1 of etc/cmdline.d/10-a.conf", "z of etc/cmdline.d/10-a.conf",
		"x=20 of etc/cmdline.d/20-b.conf", "x=30 of etc/cmdline", "x=40 of proc/cmdline", "# of proc/cmdline",
	}
	if diff := cmp.Diff(want, words); diff != "" {
		t.Errorf("Load (-want +got):\n%s", diff)
	}
	if got, err := Load(fstest.MapFS{}); len(got) != 0 || err != nil {
		t.Errorf("Load of an empty tree = %v, %v, want nothing", got, err)
	}
}

// FuzzParse: no input panics, and what is printed reads back as the same parameters (quotes inside a
// word aside, which have no other spelling).
func FuzzParse(f *testing.F) {
	for _, s := range []string{`a="b c" d=e`, `"a=b c"`, `a="b`, `--`, `a=`, "\"", "\x00=\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		line := Parse(s)
		if strings.Contains(s, `"`) {
			return
		}
		for _, p := range line {
			if again := Parse(p.String()); !cmp.Equal(Line{p}, again) {
				t.Errorf("Parse(%q) has %q, which reads back as %q", s, p, again)
			}
		}
	})
}
