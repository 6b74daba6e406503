package fetch

import (
	"strings"
	"testing"
)

func TestURL(t *testing.T) {
	for _, tt := range []struct{ in, shown, wantErr string }{
		{"http://server/x.iso", "http://server/x.iso", ""},
		{"HTTP://server/x.iso?a=b&c=d", "http://server/x.iso?…", ""},
		{"https://user:secret@[2001:db8::1]:8443/x.iso", "https://user:xxxxx@[2001:db8::1]:8443/x.iso", ""},
		{"http:///x.iso", "", "names no server"},
		{"/x.iso", "", "names no server"},
		{"http://user:sec ret@server/%zz", "", "not a URL"},
	} {
		u, err := ParseURL(tt.in)
		if (err != nil) != (tt.wantErr != "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
			t.Errorf("ParseURL(%q) = %v, want error %q", tt.in, err, tt.wantErr)
		}
		if err != nil && strings.Contains(err.Error(), "sec") {
			t.Errorf("ParseURL(%q) = %v, which shows a secret", tt.in, err)
		}
		if err == nil && u.String() != tt.shown {
			t.Errorf("ParseURL(%q).String() = %q, want %q", tt.in, u, tt.shown)
		}
	}
}
