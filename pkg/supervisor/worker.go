package supervisor

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/liveboot/liveboot/pkg/console"
	"github.com/liveboot/liveboot/pkg/handoff"
	"github.com/liveboot/liveboot/pkg/plan"
)

// message is what the worker tells process 1, one a line in JSON. Exactly one field is set.
type message struct {
	// Policy says how the plan wants failures dealt with.
	Policy *policy `json:"policy,omitempty"`
	// Pause asks for a shell before a stage; the answer is an empty line.
	Pause plan.Stage `json:"pause,omitempty"`
	// Failed says that the failure was shown to people.
	Failed bool `json:"failed,omitempty"`
	// Ready says that everything was verified.
	Ready *handoff.Ready `json:"ready,omitempty"`
}

type policy struct {
	Rescue    plan.Rescue
	Verbosity console.Verbosity
}

// The descriptors of the worker: what it tells, and the answers.
const (
	tellFD   = 3
	answerFD = 4
)

// A Boss is process 1, as the worker sees it.
type Boss struct {
	tell    *json.Encoder
	answers *bufio.Reader
}

// WorkerArg is the argument with which process 1 starts its worker.
const WorkerArg = "-worker"

// Connect returns the Boss of a process that was started with WorkerArg.
func Connect() *Boss {
	return &Boss{
		tell:    json.NewEncoder(os.NewFile(tellFD, "to process 1")),
		answers: bufio.NewReader(os.NewFile(answerFD, "from process 1")),
	}
}

// Policy tells how failures are to be dealt with, this worker's own end included.
func (b *Boss) Policy(r plan.Rescue, v console.Verbosity) error {
	return b.send(message{Policy: &policy{r, v}})
}

// Pause asks for a shell and returns when a person left it.
func (b *Boss) Pause(s plan.Stage) error {
	if err := b.send(message{Pause: s}); err != nil {
		return err
	}
	if _, err := b.answers.ReadString('\n'); err != nil {
		return fmt.Errorf("wait for process 1: %w", err)
	}
	return nil
}

// Failed tells that the boot failed and that people were told why.
func (b *Boss) Failed() error { return b.send(message{Failed: true}) }

// Ready tells that the machine can be handed over.
func (b *Boss) Ready(r handoff.Ready) error { return b.send(message{Ready: &r}) }

func (b *Boss) send(m message) error {
	if err := b.tell.Encode(m); err != nil {
		return fmt.Errorf("tell process 1: %w", err)
	}
	return nil
}
