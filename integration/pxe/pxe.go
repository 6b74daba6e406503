// Package pxe is the boot server of the documented set-ups, in a network of its own, for the machines of the tests: real programs run
// with the very files of docs/examples, at the addresses and in the folders that those name. The folders are there for these programs
// only, in mount namespaces of their own.
package pxe

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"testing"

	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// Address is the server's, in all examples: one of those that RFC 5737 keeps for documentation.
const Address = "192.0.2.1"

// Site is a network with a boot server and the cable for one machine.
type Site struct {
	*nettest.Net
	// Tap is for the machine's card.
	Tap *os.File

	t        testing.TB
	srv      string // is /srv for the servers
	examples string // a copy of the folder with the examples
	kept     string // for what a server keeps
	servers  map[string]*nettest.Server
}

// New makes the network. examples is the folder docs/examples.
func New(t *testing.T, examples string) *Site {
	t.Helper()
	needs.Program(t, "unshare", "util-linux")
	s := &Site{
		Net: nettest.Far(t), t: t, srv: t.TempDir(), examples: filepath.Join(t.TempDir(), "examples"), kept: t.TempDir(),
		servers: map[string]*nettest.Server{},
	}
	// A checkout below /srv could not be seen otherwise.
	if err := os.CopyFS(s.examples, os.DirFS(examples)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.srv, "ftp"), 0o755); err != nil { // Debian's package vsftpd makes it, the user ftp is at home there
		t.Fatal(err)
	}
	s.Tap = s.Net.Tap("port")
	s.Bridge("lan", "port")
	s.FarIP("address add " + Address + "/24 dev lan")
	return s
}

// Use does with examples what a person does with them, in this order: a script install.sh is run, any other file is the configuration with
// which its program is started. They are named by their paths below docs/examples.
func (s *Site) Use(examples ...string) {
	s.t.Helper()
	for _, example := range examples {
		folder, file := path.Dir(example), path.Base(example)
		switch start := starters()[folder]; {
		case file == "install.sh":
			s.install(folder)
		case start == nil:
			s.t.Fatalf("use %s: no program is known for the folder", example)
		default:
			s.servers[example] = start(s, example)
		}
	}
}

// Server is the program that Use has started with the example.
func (s *Site) Server(example string) *nettest.Server {
	s.t.Helper()
	server, ok := s.servers[example]
	if !ok {
		s.t.Fatalf("no server was started with %s", example)
	}
	return server
}

// Path is a file of the server, named by its path below /srv/tftpboot.
func (s *Site) Path(name string) string { return filepath.Join(s.srv, "tftpboot", name) }

// Srv is a file of the server, named by its path below /srv.
func (s *Site) Srv(name string) string { return filepath.Join(s.srv, name) }

// Put copies a file to a path below /srv/tftpboot. All may read it.
func (s *Site) Put(file, path string) {
	s.t.Helper()
	from, err := os.Open(file)
	if err != nil {
		s.t.Fatal(err)
	}
	defer from.Close()
	s.write(from, path)
}

// Write makes a file below /srv/tftpboot.
func (s *Site) Write(content []byte, path string) {
	s.t.Helper()
	s.write(bytes.NewReader(content), path)
}

func (s *Site) write(content io.Reader, path string) {
	s.t.Helper()
	file := s.Path(path)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		s.t.Fatal(err)
	}
	to, err := os.Create(file)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = io.Copy(to, content)
	if err := errors.Join(err, to.Close()); err != nil {
		s.t.Fatal(err)
	}
}

// source is a file that a script takes, and Debian's package of it.
type source struct{ file, debian string }

// sources are what the scripts need, by example.
func sources() map[string][]source {
	pxelinux := []source{{"/usr/lib/PXELINUX/pxelinux.0", "pxelinux"}, {"/usr/lib/syslinux/modules/bios/ldlinux.c32", "syslinux-common"}}
	return map[string][]source{
		"pxelinux": pxelinux,
		"kiwi":     pxelinux,
		"grub": {
			{"/usr/bin/grub-mknetdir", "grub-common"}, {"/usr/lib/grub/i386-pc", "grub-pc-bin"}, {"/usr/lib/grub/x86_64-efi", "grub-efi-amd64-bin"},
		},
		"secureboot": {
			{"/usr/lib/shim/shimx64.efi.signed", "shim-signed"}, {"/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed", "grub-efi-amd64-signed"},
		},
		"ipxe":  {{"/usr/lib/ipxe/ipxe.efi", "ipxe"}, {"/usr/bin/cpio", "cpio"}},
		"nginx": {{"/usr/bin/openssl", "openssl"}},
	}
}

// install runs the script install.sh of a folder of the examples, as a person does.
func (s *Site) install(folder string) {
	s.t.Helper()
	for _, need := range sources()[folder] {
		_, err := os.Stat(need.file)
		needs.That(s.t, err == nil, need.file+" (Debian: "+need.debian+")")
	}
	words := s.inside("sh", s.file(folder+"/install.sh"))
	out, err := exec.CommandContext(s.t.Context(), words[0], words[1:]...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("install %s: %v\n%s", folder, err, out)
	}
}

// file is where an example's copy is.
func (s *Site) file(example string) string { return filepath.Join(s.examples, example) }

// state is a file in the folder for what servers keep.
func (s *Site) state(name string) string { return filepath.Join(s.kept, name) }

// config writes a file into that folder.
func (s *Site) config(name, text string) string {
	s.t.Helper()
	file := s.state(name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// inside is a command where /srv is the site's.
func (s *Site) inside(words ...string) []string {
	return append([]string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /srv && echo started && exec "$@"`, s.srv}, words...)
}

// serve starts a program of Debian's package of that name with the site's /srv, and waits until a line of its output matches ready.
func (s *Site) serve(ready, program, debian string, args ...string) *nettest.Server {
	s.t.Helper()
	words := s.inside(append([]string{needs.Program(s.t, program, debian)}, args...)...)
	return s.Start(ready, words[0], "util-linux", words[1:]...)
}
