package dolly_test

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch/dolly/ring"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/server"
)

// TestEndOfData: a node that reads whole blocks, as the programs do, and looks for the size only when the data end, is not kept waiting: neither by
// a node of ours nor by our server.
func TestEndOfData(t *testing.T) {
	for _, before := range []int{0, 1} {
		l := newLab(t)
		image := noise(10_000)
		last := before + 1
		data, control := l.listen(last, ring.DataPort), l.listen(last, ring.ControlPort)
		for i := range before {
			l.start(i+1, nil)
		}
		done := l.serve(server.Server{Hosts: l.hosts(last)}, bytes.NewReader(image))
		in, err := data.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		orders, err := control.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer orders.Close()
		if _, err := ring.Receive(orders, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(orders, ring.Dialect07.Ready(l.host(last))); err != nil {
			t.Fatal(err)
		}
		if err := in.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, image) {
			t.Fatalf("behind %d nodes: %d bytes, %v, want %d and the end", before, len(got), err, len(image))
		}
		total, err := ring.Total(orders)
		if err != nil || total != int64(len(image)) {
			t.Errorf("behind %d nodes: Total = %d, %v, want %d", before, total, err, len(image))
		}
		if err := ring.PutTotal(orders, total); err != nil {
			t.Fatal(err)
		}
		if got := <-done; got.err != nil || !slices.Equal(got.Complete, l.hosts(last)) {
			t.Errorf("behind %d nodes: Send = %+v", before, got)
		}
	}
}
