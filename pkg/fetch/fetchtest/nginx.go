package fetchtest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/liveboot/liveboot/pkg/needs"
)

// ServeFolder serves a folder by nginx, until the test ends, and returns its address. It is what benchmarks compare downloads by: a process of
// its own, which costs next to nothing. Its configuration is kept in the folder.
func ServeFolder(t testing.TB, dir string) string {
	t.Helper()
	nginx, port, conf := needs.Program(t, "nginx", "nginx-light"), FreePort(t), filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf("daemon off; pid %[1]s/pid; user root; error_log stderr crit; events {} "+
		"http { access_log off; sendfile on; root %[1]s; server { listen 127.0.0.1:%[2]d; } }", dir, port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	Serve(t, port, nginx, "-e", "stderr", "-c", conf)
	return fmt.Sprintf("http://127.0.0.1:%d", port)
}
