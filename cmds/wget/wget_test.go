package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/fetch"
)

func TestRun(t *testing.T) {
	content := bytes.Repeat([]byte("content"), 1<<16)
	mux := http.NewServeMux()
	for _, name := range []string{"/file", "/wrong", "/dir/"} {
		mux.HandleFunc(name, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, ".sha512") || strings.HasSuffix(r.URL.Path, ".sha256") {
				http.NotFound(w, r)
				return
			}
			_, _ = w.Write(content)
		})
	}
	mux.HandleFunc("/wrong.sha256", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%x  wrong\n", sha256.Sum256([]byte("other")))
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	tests := []struct {
		name, args string
		want       string // the file that is there afterwards
		wantErr    string
	}{
		{"named by the URL", "URL/file?x=1", "file", ""},
		{"named by the flag", "-O other URL/file", "other", ""},
		{"flag behind", "URL/file -O other", "other", ""},
		{"a folder", "URL/dir/", "index.html", ""},
		{"a device is left", "-O /dev/null URL/wrong", "/dev/null", "not the expected one"},
		{"wrong digest", "URL/wrong", "", "not the expected one"},
		{"not there", "URL/none", "", "404"},
		{"no URL", "", "", "usage"},
		{"two URLs", "URL/file URL/wrong", "", "usage"},
		{"no server", "file", "", "names no server"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			err := run(strings.Fields(strings.ReplaceAll(tt.args, "URL", server.URL)))
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("run(%s) = %v, want error with %q", tt.args, err, tt.wantErr)
			}
			if filepath.IsAbs(tt.want) {
				if _, err := os.Stat(tt.want); err != nil {
					t.Error(err)
				}
				return
			}
			got, err := filepath.Glob("*")
			if err != nil || strings.Join(got, " ") != tt.want {
				t.Fatalf("run(%s) wrote %q, %v, want %q", tt.args, got, err, tt.want)
			}
			if tt.want == "" {
				return
			}
			if b, err := os.ReadFile(tt.want); err != nil || !bytes.Equal(b, content) {
				t.Errorf("run(%s) wrote %d bytes, %v, want the content", tt.args, len(b), err)
			}
		})
	}
}

// restarting begins anew after its first bytes, as a stream does whose file has changed on the server.
type restarting struct{ parts []any }

func (r *restarting) Read(b []byte) (int, error) {
	if len(r.parts) == 0 {
		return 0, io.EOF
	}
	part := r.parts[0]
	r.parts = r.parts[1:]
	if err, ok := part.(error); ok {
		return 0, err
	}
	return copy(b, part.(string)), nil
}

func TestSave(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := save(&restarting{[]any{"too long", &fetch.RestartError{Cause: io.ErrUnexpectedEOF}, "new"}}, name); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "new" {
		t.Errorf("save() wrote %q, %v, want new", b, err)
	}
	broken := errors.New("broken")
	if err := save(&restarting{[]any{"half", broken}}, name); !errors.Is(err, broken) {
		t.Errorf("save(broken) = %v, want %v", err, broken)
	}
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after a failure: stat says %v, want the file gone", err)
	}
}
