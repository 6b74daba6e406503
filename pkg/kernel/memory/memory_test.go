package memory

import (
	"os"
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

func TestKept(t *testing.T) {
	const zones = `Node 0, zone      DMA
  pages free     3840
        boost    0
  pagesets
    cpu: 0
              count: 12
              high:  14
    cpu: 1
              count:    3
              high:  14
  vm stats threshold: 4
Node 0, zone    DMA32
  pagesets
    cpu: 0
              count: 1000
`
	for _, tt := range []struct {
		name string
		in   fstest.MapFS
		want int64
	}{
		{"two zones", fstest.MapFS{"proc/zoneinfo": {Data: []byte(zones)}}, 1015 * int64(os.Getpagesize())},
		{"no such file", fstest.MapFS{}, 0},
		{"no number", fstest.MapFS{"proc/zoneinfo": {Data: []byte("count: many\n")}}, 0},
	} {
		if got := Kept(tt.in); got != tt.want {
			t.Errorf("%s: Kept() = %d, want %d", tt.name, got, tt.want)
		}
	}
}
