package stream

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/kernel/block"
)

// What rests and was taken by the kernel is fetched again, and what was not is used as it is.
func TestTakenMemory(t *testing.T) {
	const size, pages = 4 * block.Alignment, 4
	image := bytes.Repeat([]byte("image and "), size)
	clear(image[2*size : 3*size]) // a chunk of zeros
	clear(image[3*size : 3*size+block.Alignment])
	for taken := range pages {
		source := &server{image: image}
		s, ctx, stop := start(t, Config{Size: int64(len(image)), ChunkSize: size, Ahead: -1, Memory: 20 * size}, source, nil)
		for chunk := range 4 {
			readToRest(t, ctx, s, image, chunk*size, size)
		}
		source.asked()
		s.mutex.Lock()
		for chunk := range int64(4) {
			k := s.known[chunk]
			if k == nil || !k.yielded {
				s.mutex.Unlock()
				t.Fatalf("chunk %d is %+v, want one that the kernel may take", chunk, k)
			}
			if chunk > 0 {
				page := k.data[taken*block.Alignment:][:block.Alignment]
				if err := unix.Madvise(page, unix.MADV_DONTNEED); err != nil { // as if the kernel had taken it
					t.Fatal(err)
				}
			}
		}
		s.mutex.Unlock()
		for chunk := range 4 {
			read(t, ctx, s, image, chunk*size, size)
		}
		want := []int64{size, 3 * size} // but for the zeros
		if taken == 0 {
			want = want[:1]
		}
		if diff := cmp.Diff(want, source.asked()); diff != "" {
			t.Errorf("with page %d taken the chunks that were fetched again differ (-want +got):\n%s", taken, diff)
		}
		if parts, release := s.Lend(size, size); parts == nil || !bytes.Equal(bytes.Join(parts, nil), image[size:2*size]) {
			t.Error("a chunk that is there is not lent")
		} else {
			release()
		}
		stop()
	}
}
