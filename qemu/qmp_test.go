package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// A monitor greets, sends an event between question and answer, refuses, and goes away in the middle of a question.
func TestMonitor(t *testing.T) {
	ours, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	events := make(chan string, 1)
	m := newMonitor(ours, func(name string, data json.RawMessage) { events <- name + string(data) })
	go m.read()
	go func() {
		defer theirs.Close()
		fmt.Fprintln(theirs, `{"QMP": {"version": {}, "capabilities": []}}`)
		for lines := bufio.NewScanner(theirs); lines.Scan(); {
			var q struct {
				Execute string `json:"execute"`
				ID      int    `json:"id"`
			}
			if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
				t.Errorf("the monitor was asked %q: %v", lines.Text(), err)
				return
			}
			switch q.Execute {
			case "query-status":
				fmt.Fprintf(theirs, `{"event": "STOP", "data": {"a":1}}`+"\n"+`{"return": {"status": "paused"}, "id": %d}`+"\n", q.ID)
			case "gone":
				return
			case "qmp_capabilities":
				fmt.Fprintf(theirs, `{"return": {}, "id": %d}`+"\n", q.ID)
			default:
				fmt.Fprintf(theirs, `{"error": {"class": "CommandNotFound", "desc": "no such command"}, "id": %d}`+"\n", q.ID)
			}
		}
	}()
	if err := m.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	var status struct{ Status string }
	if err := m.execute(t.Context(), "query-status", nil, &status); err != nil || status.Status != "paused" {
		t.Errorf("execute(query-status) = %+v, %v, want paused", status, err)
	}
	if got, want := <-events, `STOP{"a":1}`; got != want {
		t.Errorf("event %q, want %q", got, want)
	}
	if err := m.execute(t.Context(), "dance", nil, nil); err == nil || !strings.Contains(err.Error(), "no such command (CommandNotFound)") {
		t.Errorf("execute(dance) = %v, want no such command", err)
	}
	for range 2 { // while it goes, and when it is gone
		if err := m.execute(t.Context(), "gone", nil, nil); err == nil || !strings.Contains(err.Error(), "QEMU has exited") {
			t.Errorf("execute(gone) = %v, want that QEMU has exited", err)
		}
	}
}

// A question is given up with its context.
func TestMonitorContext(t *testing.T) {
	ours, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer theirs.Close()
	m := newMonitor(ours, func(string, json.RawMessage) {})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(fmt.Errorf("enough"))
	if err := m.execute(ctx, "query-status", nil, nil); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("execute with a context that is done = %v, want its cause", err)
	}
	if err := m.ready(ctx); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("ready with a context that is done = %v, want its cause", err)
	}
}
