package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// queued is how many messages may be on their way to a reader that is slow.
const queued = 256

// teller tells who started the process as long as that one listens, and then the kernel's log.
type teller struct {
	messages chan Message
	sending  sync.WaitGroup
	kmsg     io.Writer
}

func newTeller(out io.Writer, kmsg io.Writer) *teller {
	t := &teller{messages: make(chan Message, queued), kmsg: kmsg}
	t.sending.Go(func() { t.send(json.NewEncoder(out)) })
	return t
}

// send hands messages on.
func (t *teller) send(out *json.Encoder) {
	alone := false
	for m := range t.messages {
		if !alone {
			alone = out.Encode(m) != nil
		}
		if alone {
			t.log(m)
		}
	}
}

// log writes what is for people. With "quiet" the kernel shows what is above a warning on its consoles.
func (t *teller) log(m Message) {
	const alert, failure, notice = 1, 3, 5
	switch {
	case m.Failed != "":
		t.line(alert, "streaming failed: "+m.Failed)
	case m.Event != "" && m.Loud:
		t.line(failure, m.Event)
	case m.Event != "":
		t.line(notice, m.Event)
	case m.Mismatch != nil:
		t.line(alert, m.Mismatch.String())
	case m.Complete:
		t.line(notice, "the image is complete: neither its server nor the network is needed any more")
	}
}

// line writes a line as a daemon's (facility 3).
func (t *teller) line(level int, text string) {
	fmt.Fprintf(t.kmsg, "<%d>liveboot: %s\n", 3<<3|level, text)
}

// tell sends a message, unless the reader is so slow that many wait for it already.
func (t *teller) tell(m Message) {
	select {
	case t.messages <- m:
	default:
		t.log(m)
	}
}

// close returns when all is said.
func (t *teller) close() {
	close(t.messages)
	t.sending.Wait()
}
