package fetch

import (
	"fmt"
	"strings"
	"testing"
)

func TestURL(t *testing.T) {
	for _, tt := range []struct{ in, shown, wantErr string }{
		{"http://server/x.iso", "http://server/x.iso", ""},
		{"dolly://", "dolly://", ""},
		{"dolly://:secret@", "dolly://", ""},
		{"HTTP://server/x.iso?a=b&c=d", "http://server/x.iso?…", ""},
		{"https://user:secret@[2001:db8::1]:8443/x.iso", "https://user:xxxxx@[2001:db8::1]:8443/x.iso", ""},
		{"http:///x.iso", "", "names no server"},
		{"/x.iso", "", "names no server"},
		{"http://user:sec ret@server/%zz", "", "not a URL"},
		{"http://user:sec/ret@server/x.iso", "", "is no port"},
		{"http://user:sec#ret@server/x.iso", "", "is no port"},
		{"http://user:sec?ret@server/x.iso", "", "is no port"},
		{"http://user:sec%ret@server/x.iso", "", "% itself is written %25"},
		{"http://user:sec^ret@server/x.iso", "", "name or password have a character"},
		{"http://user:sec\x7fret@server/x.iso", "", "want scheme://server/path"},
		{"http://user:%73ec@[ret]/x.iso", "", "not a URL"},
		{"http://sec ret/x.iso", "", "the server's name has a character"},
		{"http:///user:secret@server/x.iso", "", "names no server"},
		{"http:user:secret@server/x.iso", "", "names no server"},
	} {
		u, err := ParseURL(tt.in)
		if (err != nil) != (tt.wantErr != "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
			t.Errorf("ParseURL(%q) = %v, want error %q", tt.in, err, tt.wantErr)
		}
		for _, text := range []string{fmt.Sprint(err), fmt.Sprintf("%v %+v %#v %s %q", URL(tt.in), URL(tt.in), URL(tt.in), URL(tt.in), URL(tt.in))} {
			if strings.Contains(text, "sec") || strings.Contains(text, "ret") {
				t.Errorf("URL %q is shown as %s, with a part of a secret", tt.in, text)
			}
		}
		if err == nil && u.String() != tt.shown {
			t.Errorf("ParseURL(%q).String() = %q, want %q", tt.in, u, tt.shown)
		}
	}
}
