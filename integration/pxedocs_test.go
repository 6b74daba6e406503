package integration

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var updateDocs = flag.Bool("update-docs", false, "write the examples into docs/pxe.md")

// Every file that docs/pxe.md shows is one of docs/examples, word for word, and none of those is left out.
func TestPXEDocs(t *testing.T) {
	page, examples := filepath.Join("..", "docs", "pxe.md"), filepath.Join("..", "docs", "examples")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	block := regexp.MustCompile("(?s)<!-- docs/examples/(\\S+) -->\n```[a-z]*\n(.*?)```\n")
	updated := block.ReplaceAllStringFunc(string(text), func(old string) string {
		name := block.FindStringSubmatch(old)[1]
		shown[name] = true
		content, err := os.ReadFile(filepath.Join(examples, name))
		if err != nil {
			t.Error(err)
			return old
		}
		return fmt.Sprintf("<!-- docs/examples/%s -->\n```%s\n%s```\n", name, map[bool]string{true: "sh"}[strings.HasSuffix(name, ".sh")], content)
	})
	err = fs.WalkDir(os.DirFS(examples), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !shown[name] {
			t.Errorf("docs/pxe.md does not show docs/examples/%s", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	switch {
	case updated == string(text):
	case *updateDocs:
		if err := os.WriteFile(page, []byte(updated), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Error("docs/pxe.md shows other examples than there are: run go test ./integration -run TestPXEDocs -update-docs")
	}
}
