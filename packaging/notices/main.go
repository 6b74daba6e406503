// Notices writes the licences of liveboot and of everything that is compiled into its programs, for whoever hands out binaries:
// most of them ask for that. The packages to look at are its arguments.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/liveboot/liveboot/initramfs"
)

func main() {
	if err := run(os.Stdout, append(initramfs.DefaultCommands(), os.Args[1:]...)); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, packages []string) error {
	folders, err := modules(packages)
	if err != nil {
		return err
	}
	var b strings.Builder
	names := slices.SortedFunc(maps.Keys(folders), func(a, b string) int {
		return cmp.Or(-cmp.Compare(ours(a), ours(b)), strings.Compare(a, b))
	})
	for _, name := range names {
		text, err := licence(folders[name])
		if err != nil {
			return fmt.Errorf("licence of %s: %w", name, err)
		}
		fmt.Fprintf(&b, "%s\n%s\n\n%s\n\n", name, strings.Repeat("=", len(name)), strings.TrimSpace(text))
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// ours is 1 for liveboot itself, which comes first.
func ours(module string) int {
	if strings.HasPrefix(initramfs.InitPackage, module+"/") {
		return 1
	}
	return 0
}

// modules are the folders of all modules that a build of the packages takes source from, by path and version; and that of Go itself.
func modules(packages []string) (map[string]string, error) {
	cmd := exec.Command("go", append([]string{"list", "-deps", "-json=Standard,Root,Module"}, packages...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	folders := map[string]string{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			Standard bool
			Root     string
			Module   *struct{ Path, Version, Dir string }
		}
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return folders, nil
		case err != nil:
			return nil, fmt.Errorf("go list: %w", err)
		case p.Standard && p.Root != "":
			folders["The Go standard library"] = p.Root
		case p.Module != nil:
			folders[strings.TrimSpace(p.Module.Path+" "+p.Module.Version)] = p.Module.Dir
		}
	}
}

// licence is the text of the files in a folder that hold licences and what goes with them.
func licence(folder string) (string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", err
	}
	var texts []string
	for _, e := range entries {
		name, _, _ := strings.Cut(strings.ToUpper(e.Name()), ".")
		if !slices.Contains([]string{"LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "PATENTS", "AUTHORS"}, name) || !e.Type().IsRegular() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return "", err
		}
		texts = append(texts, strings.TrimSpace(string(b)))
	}
	if len(texts) == 0 {
		return "", fmt.Errorf("no file of that kind in %s", folder)
	}
	return strings.Join(texts, "\n\n"), nil
}
