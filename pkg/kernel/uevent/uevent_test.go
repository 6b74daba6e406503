package uevent

import (
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     Event
		wantErr  bool
	}{
		{
			"a virtio device", "add@/devices/pci0000:00/virtio0\x00ACTION=add\x00SUBSYSTEM=virtio\x00MODALIAS=virtio:d00000001v00001AF4\x00",
			Event{"add", "/devices/pci0000:00/virtio0", map[string]string{"ACTION": "add", "SUBSYSTEM": "virtio", "MODALIAS": "virtio:d00000001v00001AF4"}}, false,
		},
		{"no variables", "remove@/x\x00", Event{"remove", "/x", map[string]string{}}, false},
		{"udev's own format", "libudev\x00\xfe\xed\xca\xfe", Event{}, true},
		{"no zero byte", "add@/x", Event{}, true},
		{"empty", "", Event{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(tt.in))
			if diff := cmp.Diff(tt.want, got); diff != "" || (err != nil) != tt.wantErr {
				t.Errorf("Parse(%q): error %v, want error %v (-want +got):\n%s", tt.in, err, tt.wantErr, diff)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("add@/devices/x\x00ACTION=add\x00"))
	f.Fuzz(func(t *testing.T, message []byte) {
		if event, err := Parse(message); err == nil && (event.Action == "" || event.Path == "") {
			t.Errorf("Parse(%q) = %v without action or path", message, event)
		}
	})
}

func TestCloseEndsReceive(t *testing.T) {
	l, err := Listen()
	if err != nil {
		t.Fatalf("Listen: %v", err)
	}
	done := make(chan error)
	go func() {
		for {
			if _, err := l.Receive(); err != nil {
				done <- err
				return
			}
		}
	}()
	if err := l.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Receive after Close = %v, want %v", err, os.ErrClosed)
	}
}
