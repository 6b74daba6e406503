package memory

import (
	"testing"
	"testing/fstest"
)

func TestRead(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     Info
		wantErr  bool
	}{
		{"a kernel's", "MemTotal:        2014524 kB\nMemFree:         1000 kB\nMemAvailable:    1900000 kB\nHugePages_Total:       0\n", Info{1900000 << 10}, false},
		{"no MemAvailable", "MemTotal:        2014524 kB\n", Info{}, true},
		{"garbage", "MemAvailable: much\n", Info{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Read(fstest.MapFS{"proc/meminfo": {Data: []byte(tt.in)}})
			if got != tt.want || (err != nil) != tt.wantErr {
				t.Errorf("Read(%q) = %v, %v, want %v, error %v", tt.in, got, err, tt.want, tt.wantErr)
			}
		})
	}
}
