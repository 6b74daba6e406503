package qemu

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// monitor speaks QEMU's machine protocol (https://www.qemu.org/docs/master/interop/qmp-spec.html): a JSON object a
// line, answers told apart from events by their id.
type monitor struct {
	conn    *os.File
	event   func(name string, data json.RawMessage)
	greeted chan struct{}

	mu      sync.Mutex
	last    int
	pending map[int]chan qmpMessage
	err     error // why nothing can be asked any more
}

// qmpMessage is everything that QEMU may send.
type qmpMessage struct {
	Greeting *struct{}       `json:"QMP"`
	ID       int             `json:"id"`
	Return   json.RawMessage `json:"return"`
	Error    *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data"`
}

// socketPair is two ends of a connection, the second one for QEMU. A pair needs no name in a file system, so the length
// of the path of a test's temporary folder does not matter.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make QEMU's monitor: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "monitor"), os.NewFile(uintptr(fds[1]), "monitor of QEMU"), nil
}

func newMonitor(conn *os.File, event func(string, json.RawMessage)) *monitor {
	return &monitor{conn: conn, event: event, greeted: make(chan struct{}), pending: map[int]chan qmpMessage{}}
}

// read takes what QEMU sends, until it closes the connection.
func (m *monitor) read() {
	d := json.NewDecoder(m.conn)
	for {
		var msg qmpMessage
		if err := d.Decode(&msg); err != nil {
			m.fail(err)
			return
		}
		switch {
		case msg.Greeting != nil:
			close(m.greeted)
		case msg.Event != "":
			m.event(msg.Event, msg.Data)
		default:
			m.mu.Lock()
			answer := m.pending[msg.ID]
			delete(m.pending, msg.ID)
			m.mu.Unlock()
			if answer != nil {
				answer <- msg
			}
		}
	}
}

// fail ends every wait for an answer.
func (m *monitor) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == io.EOF {
		err = fmt.Errorf("QEMU has exited: %w", err)
	}
	m.err = err
	for id, answer := range m.pending {
		delete(m.pending, id)
		close(answer)
	}
}

// execute sends a command and waits for its answer, which is put into result unless that is nil.
func (m *monitor) execute(ctx context.Context, command string, arguments, result any) error {
	id, answer, err := m.send(command, arguments)
	if err != nil {
		return fmt.Errorf("QMP %s: %w", command, err)
	}
	select {
	case <-ctx.Done():
		m.mu.Lock()
		delete(m.pending, id)
		m.mu.Unlock()
		return fmt.Errorf("QMP %s: %w", command, context.Cause(ctx))
	case msg, ok := <-answer:
		switch {
		case !ok:
			return fmt.Errorf("QMP %s: %w", command, m.err)
		case msg.Error != nil:
			return fmt.Errorf("QMP %s: %s (%s)", command, msg.Error.Desc, msg.Error.Class)
		case result != nil:
			if err := json.Unmarshal(msg.Return, result); err != nil {
				return fmt.Errorf("QMP %s: decode the answer: %w", command, err)
			}
		}
		return nil
	}
}

func (m *monitor) send(command string, arguments any) (int, chan qmpMessage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return 0, nil, m.err
	}
	m.last++
	b, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
		ID        int    `json:"id"`
	}{command, arguments, m.last})
	if err != nil {
		return 0, nil, err
	}
	if _, err := m.conn.Write(append(b, '\n')); err != nil {
		return 0, nil, err
	}
	answer := make(chan qmpMessage, 1)
	m.pending[m.last] = answer
	return m.last, answer, nil
}

// ready waits for the greeting and opens the connection for commands.
func (m *monitor) ready(ctx context.Context) error {
	select {
	case <-m.greeted:
	case <-ctx.Done():
		return fmt.Errorf("wait for QEMU's monitor: %w", context.Cause(ctx))
	}
	return m.execute(ctx, "qmp_capabilities", nil, nil)
}
