package netid

import (
	"io/fs"
	"path"
	"strings"
	"testing"
	"testing/fstest"
)

// tree makes a /sys out of lines, a device each: its path below /sys, its subsystem behind "@", and its attributes, "name=text" or
// "name->target" for a symbolic link. Two attributes are not files of that name: devtype is a line of uevent, and functions=many sets
// the bit for that in the configuration space. A device of the subsystem net is an Ethernet card with the MAC 52:54:00:12:34:56 where
// its attributes do not say otherwise, and is linked in class/net. A path that ends in "/" is a folder without being a device.
func tree(t testing.TB, text string) fstest.MapFS {
	t.Helper()
	sys := fstest.MapFS{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		dir, isFolder := strings.CutSuffix(words[0], "/")
		attributes := map[string]string{"uevent": ""}
		if isFolder {
			delete(attributes, "uevent")
		}
		links := map[string]string{}
		for _, word := range words[1:] {
			if subsystem, ok := strings.CutPrefix(word, "@"); ok {
				links["subsystem"] = up(dir) + "bus/" + subsystem
				if subsystem == "net" {
					addCard(sys, dir, attributes)
				}
			} else if name, target, ok := strings.Cut(word, "->"); ok {
				links[name] = target
			} else if name, value, ok := strings.Cut(word, "="); ok {
				attributes[name] = value
			} else {
				t.Fatalf("%q in the description of a tree is neither @subsystem nor name=text nor name->target", word)
			}
		}
		if devtype, ok := attributes["devtype"]; ok {
			delete(attributes, "devtype")
			attributes["uevent"] = "MAJOR=1\nDEVTYPE=" + devtype + "\n"
		}
		if attributes["functions"] == "many" {
			delete(attributes, "functions")
			attributes["config"] = strings.Repeat("\x00", pciHeaderType) + "\x80" + strings.Repeat("\x00", 49)
		}
		for name, value := range attributes {
			if value != "absent" {
				sys[path.Join(dir, name)] = &fstest.MapFile{Data: []byte(value + "\n")}
			}
		}
		for name, target := range links {
			sys[path.Join(dir, name)] = &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink | 0o777}
		}
	}
	return sys
}

// addCard gives a link the attributes that the kernel has for every Ethernet card.
func addCard(sys fstest.MapFS, dir string, attributes map[string]string) {
	for name, value := range map[string]string{
		"type": "1", "ifindex": "2", "iflink": "2", "dev_id": "0x0", "dev_port": "0", "name_assign_type": "1",
		"addr_assign_type": "0", "address": "52:54:00:12:34:56",
	} {
		attributes[name] = value
	}
	name := path.Join("class/net", path.Base(dir))
	sys[name] = &fstest.MapFile{Data: []byte(up(name) + dir), Mode: fs.ModeSymlink | 0o777}
}

// up leads from a link in the folder dir, or from the link dir/x, to the root.
func up(dir string) string {
	if strings.HasPrefix(dir, "class/") {
		return "../../"
	}
	return strings.Repeat("../", strings.Count(dir, "/")+1)
}
