package initiso

import (
	"io/fs"
	"strings"
	"testing"
)

// What the report says and what the package promises are the same words.
func TestReportScript(t *testing.T) {
	for _, init := range []Init{SysV, OpenRC} {
		s, err := system(init)
		if err != nil {
			t.Fatal(err)
		}
		script, err := fs.ReadFile(s.Files, "etc/rc.local")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"'" + Line, End + "\n"} {
			if !strings.Contains(string(script), want) {
				t.Errorf("the script of the report does not contain %q", want)
			}
		}
	}
}
