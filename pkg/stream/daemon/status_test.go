package daemon

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/stream"
)

// The file says what is so, at once where the state is another, and otherwise every three seconds.
func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &status{path: filepath.Join(t.TempDir(), "liveboot", "stream.json")}
		s.begin("http://server/image.iso", "/dev/dm-0")
		file := func() (got Status) {
			t.Helper()
			if err := json.Unmarshal([]byte(read(t, s.path)), &got); err != nil {
				t.Fatal(err)
			}
			return got
		}
		began := time.Now().UTC()
		at := func(state State, since time.Duration, reason string, present int64) Status {
			return Status{State: state, Since: began.Add(since).Truncate(time.Second), Reason: reason, URL: "http://server/image.iso", Device: "/dev/dm-0", Size: 100, Present: present, Cached: 9}
		}
		complete := at(Complete, 8*time.Second, "", 7)
		complete.Cached = 0
		for i, tt := range []struct {
			do      func()
			pause   time.Duration
			present int64
			lazy    bool
			trouble time.Duration
			want    Status
		}{
			{nil, 0, 1, false, healthy, at(Streaming, 0, "", 1)},
			{nil, time.Second, 2, false, healthy, at(Streaming, 0, "", 1)}, // too soon
			{nil, between, 3, false, hush - 1, at(Streaming, 0, "", 3)},
			{nil, time.Second, 4, false, hush, at(Waiting, 5*time.Second, "silence", 4)},
			{nil, time.Second, 4, false, healthy, at(Streaming, 6*time.Second, "", 4)},
			{func() { s.change("another") }, time.Second, 5, false, time.Minute, at(Changed, 7*time.Second, "another", 5)},
			{func() { s.change("") }, time.Second, 5, true, healthy, at(Lazy, 8*time.Second, "", 5)},
			{func() { s.comeTo(Mismatched, "wrong") }, 0, 6, false, time.Minute, at(Mismatched, 8*time.Second, "wrong", 6)},
			{func() { s.comeTo(Complete, "") }, 0, 7, false, healthy, complete},
		} {
			time.Sleep(tt.pause)
			if tt.do != nil {
				tt.do()
			}
			s.update(stream.Stats{Size: 100, Present: tt.present, Cached: 9}, tt.lazy, tt.trouble, "silence")
			if diff := cmp.Diff(tt.want, file()); diff != "" {
				t.Errorf("no. %d: the file differs (-want +got):\n%s", i, diff)
			}
		}
		if text := read(t, s.path); strings.Contains(text, "cached") {
			t.Errorf("the file says what is cached by nobody: %s", text)
		}
		before, err := os.Stat(s.path)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		s.update(stream.Stats{Size: 100, Present: 7, Cached: 9}, false, healthy, "")
		if after, err := os.Stat(s.path); err != nil || !os.SameFile(before, after) {
			t.Errorf("the file was written though nothing changed: %v", err)
		}
	})
}

// What cannot be written leaves the file as it was, and nothing beside it; and it is tried again.
func TestStatusNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		s := &status{path: filepath.Join(folder, "a", "stream.json")}
		if err := os.WriteFile(filepath.Join(folder, "a"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		s.update(stream.Stats{Size: 1}, false, healthy, "")
		if err := os.Remove(filepath.Join(folder, "a")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(between)
		s.update(stream.Stats{Size: 1}, false, healthy, "")
		if entries, err := os.ReadDir(filepath.Dir(s.path)); err != nil || len(entries) != 1 {
			t.Errorf("the folder has %v, %v, want the file only", entries, err)
		}
	})
}
