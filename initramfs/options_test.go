package initramfs

import (
	"strings"
	"testing"
)

func TestBakeOptions(t *testing.T) {
	tests := []struct {
		name, options string
		files         map[string]string // of the site
		wantErr       string
		wantReport    string
	}{
		{name: "nothing"},
		{name: "some", options: `ip=dhcp rd.debug quiet foreign="a b"`},
		{name: "an image", options: "root=live:http://192.0.2.7/live.iso"},
		{name: "mistyped", options: "rd.liveboot.sha265=00", wantErr: "rd.liveboot.sha256"},
		{name: "wrong value", options: "ip=dhcp rd.emergency=explode", wantErr: "rd.emergency"},
		{name: "two mistakes", options: "rd.emergency=explode rd.liveboot.x", wantErr: "rd.liveboot.x"},
		{name: "not fatal", options: "rd.live.dirr=x", wantReport: "rd.live.dir"},
		{name: "quote", options: `foreign="a b`, wantErr: "not closed"},
		{name: "comment", options: "# ip=dhcp", wantErr: "comment"},
		{name: "for init", options: "quiet -- single", wantErr: "behind --"},
		{name: "blank", options: " ", wantErr: "no option"},
		{name: "site's file", files: map[string]string{"etc/cmdline.d/site.conf": "rd.emergency=explode\n"}, wantErr: "rd.emergency"},
		{name: "the same file", options: "quiet", files: map[string]string{optionsFile: "quiet\n"}, wantErr: optionsFile},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var reports []string
			b := &builder{
				config:   Config{Options: tt.options, Report: func(s string) { reports = append(reports, s) }},
				manifest: &Manifest{},
			}
			site := newArchive()
			for name, content := range tt.files {
				site.file(name, []byte(content), 0o644)
			}
			err := b.bakeOptions(site)
			if !errorContains(err, tt.wantErr) {
				t.Fatalf("bakeOptions(%q) = %v, want error with %q", tt.options, err, tt.wantErr)
			}
			if got := strings.Join(reports, "\n"); !strings.Contains(got, tt.wantReport) || tt.wantReport == "" && got != "" {
				t.Errorf("bakeOptions(%q) reports %q, want %q", tt.options, got, tt.wantReport)
			}
			if err != nil || tt.options == "" {
				return
			}
			raw, err := site.bytes()
			if err != nil {
				t.Fatal(err)
			}
			if got := contents(t, raw)[optionsFile]; got != tt.options+"\n" || b.manifest.Options != tt.options {
				t.Errorf("bakeOptions(%q): the image has %q, the manifest %q", tt.options, got, b.manifest.Options)
			}
		})
	}
}
