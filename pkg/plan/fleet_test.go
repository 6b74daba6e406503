package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/fetch/dolly/options"
)

// TestFleetDocument keeps the list of dolly's options true to the program.
func TestFleetDocument(t *testing.T) {
	var b strings.Builder
	b.WriteString("| option | meaning |\n| --- | --- |\n")
	for _, o := range options.Options() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", strings.TrimSpace(o.Name+" "+o.Value), o.Doc)
	}
	keep(t, "../../docs/fleet.md", "<!-- %s -->\n", map[string]string{"dolly's options": b.String()})
}
