package initramfs

import (
	"testing"
	"time"
)

func TestCompareReleases(t *testing.T) {
	tests := []struct {
		name, older, newer string
		equal              bool
	}{
		{name: "package revision", older: "6.1.0-9-amd64", newer: "6.1.0-56-amd64"},
		{name: "minor", older: "6.9.12-amd64", newer: "6.10.1-amd64"},
		{name: "major", older: "5.19.17", newer: "6.0.0"},
		{name: "candidate", older: "6.12-rc7-amd64", newer: "6.12-amd64"},
		{name: "candidates", older: "6.12-rc7", newer: "6.12-rc10"},
		{name: "SUSE", older: "6.4.0-150600.21-default", newer: "6.4.0-150600.23.7-default"},
		{name: "Fedora", older: "6.8.5-301.fc40.x86_64", newer: "6.11.4-201.fc40.x86_64"},
		{name: "trixie", older: "6.12.43+deb13-amd64", newer: "6.12.57+deb13-amd64"},
		{name: "flavours", older: "6.1.0-56-amd64", newer: "6.1.0-56-cloud-amd64", equal: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := -1
			if tt.equal {
				want = 0
			}
			if got := compareReleases(tt.older, tt.newer); got != want {
				t.Errorf("compareReleases(%q, %q) = %d, want %d", tt.older, tt.newer, got, want)
			}
			if got := compareReleases(tt.newer, tt.older); got != -want {
				t.Errorf("compareReleases(%q, %q) = %d, want %d", tt.newer, tt.older, got, -want)
			}
		})
	}
}

func TestBuildDate(t *testing.T) {
	tests := []struct {
		name, in string
		want     time.Time
	}{
		{"Debian", "6.1.0-56-amd64 (debian-kernel@lists.debian.org) #1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16)", time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC)},
		{"upstream", "6.4.0 (geeko@buildhost) #1 SMP PREEMPT_DYNAMIC Thu May  9 04:02:11 UTC 2024 (1a2b3c4)", time.Date(2024, 5, 9, 4, 2, 11, 0, time.UTC)},
		{"none", "6.1.0 (user@host)", time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := buildDate(tt.in); !got.Equal(tt.want) {
				t.Errorf("buildDate(%q) = %v, want %v", tt.in, got, tt.want)
			}
		})
	}
}
