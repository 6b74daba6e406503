package handover

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/liveboot/liveboot/pkg/network"
)

// Root returns the files that the live system's root lacks: etc/resolv.conf and etc/hostname, where the image has none and the state can fill
// them in. The root is only read.
//
// A link is left alone wherever it leads: its owner, systemd-resolved say, makes the target later. So is a file with anything in it but
// comments: in an image that was built with the resolvers of another network, the network manager has to know better. The host name
// localhost is none.
func Root(root fs.ReadLinkFS, s State) ([]File, error) {
	var files []File
	for _, f := range []File{
		{Path: "etc/hostname", Mode: 0o644, Content: line(s.hostname()), OnlyIfMissing: true},
		{Path: "etc/resolv.conf", Mode: 0o644, Content: []byte(network.ResolvConf(s.Active)), OnlyIfMissing: true},
	} {
		if len(f.Content) == 0 {
			continue
		}
		lacking, empty, err := lacks(root, f.Path)
		if err != nil {
			return nil, fmt.Errorf("look into the live system's root: %w", err)
		}
		if lacking {
			f.OnlyIfMissing = !empty
			files = append(files, f)
		}
	}
	return files, nil
}

// lacks reports whether there is no such file, or one that says nothing, which is then to be replaced.
func lacks(root fs.ReadLinkFS, path string) (lacking, empty bool, err error) {
	info, err := root.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, false, nil
	case err != nil:
		return false, false, err
	case !info.Mode().IsRegular():
		return false, false, nil
	}
	content, err := fs.ReadFile(root, path)
	if err != nil {
		return false, false, err
	}
	for text := range bytes.Lines(content) {
		text = bytes.TrimSpace(text)
		switch {
		case len(text) == 0, text[0] == '#', text[0] == ';': // resolv.conf(5) has both for comments
		case string(text) == "localhost", string(text) == "localhost.localdomain":
		default:
			return false, false, nil
		}
	}
	return true, true, nil
}

// line returns the text as a line of its own, and nothing for nothing.
func line(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(strings.TrimSpace(text) + "\n")
}
