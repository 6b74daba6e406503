package memory

import "testing"

func TestMap(t *testing.T) {
	for _, size := range []int{0, 1, 5 << 20} {
		b, unmap, err := Map(size)
		if err != nil || len(b) != size {
			t.Fatalf("Map(%d) = %d bytes, %v", size, len(b), err)
		}
		for k := range b {
			if b[k] != 0 {
				t.Fatalf("Map(%d) has %d at %d, want zeros", size, b[k], k)
			}
			b[k] = 1
		}
		if err := unmap(); err != nil {
			t.Errorf("unmap: %v", err)
		}
	}
	if _, _, err := Map(1 << 60); err == nil {
		t.Error("Map(2^60) = nil, want an error")
	}
}
