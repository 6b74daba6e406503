// Package disktest keeps what package disk asked a machine for, so that its own tests can ask for the same again without one.
package disktest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"path"
	"sync"
	"testing/fstest"
)

// A Machine is what was asked for, and the answers.
type Machine struct {
	// Texts and Pages are the files of /sys, Links its symbolic links, by path. Folders are those that were listed in another.
	Texts, Links map[string]string
	Pages        map[string][]byte
	Folders      map[string]bool
	// Commands are the answers to SCSI commands, by Command's key. Refused ones are not there.
	Commands map[string][]byte
	// Names are, by the kernel's name of a device, the links that udev gave to it.
	Names map[string][]string
}

// Command is the key of a SCSI command to the device at path.
func Command(path string, cdb []byte) string { return path + " " + hex.EncodeToString(cdb) }

// FS returns the recorded files.
func (m *Machine) FS() fs.FS {
	sys := make(fstest.MapFS)
	for name, data := range m.Texts {
		sys[name] = &fstest.MapFile{Data: []byte(data)}
	}
	for name, data := range m.Pages {
		sys[name] = &fstest.MapFile{Data: data}
	}
	for name, target := range m.Links {
		sys[name] = &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink}
	}
	for name := range m.Folders {
		sys[name] = &fstest.MapFile{Mode: fs.ModeDir}
	}
	return sys
}

// ErrRefused says that a device does not know a command.
var ErrRefused = errors.New("refused")

// Answer plays the answer to a command back.
func (m *Machine) Answer(path string, cdb, data []byte) error {
	answer, ok := m.Commands[Command(path, cdb)]
	if !ok {
		return ErrRefused
	}
	copy(data, answer)
	return nil
}

// A Recorder is a folder whose files, as far as they are read, get into a record.
type Recorder struct {
	sys     fs.FS
	mu      sync.Mutex
	machine Machine
}

// New returns a Recorder for sys.
func New(sys fs.FS) *Recorder {
	return &Recorder{sys: sys, machine: Machine{
		Texts: make(map[string]string), Links: make(map[string]string), Pages: make(map[string][]byte), Folders: make(map[string]bool),
		Commands: make(map[string][]byte), Names: make(map[string][]string),
	}}
}

// Machine returns the record.
func (r *Recorder) Machine() *Machine { return &r.machine }

func (r *Recorder) note(do func(m *Machine)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do(&r.machine)
}

// Open is for what the methods below are not used for; it records nothing.
func (r *Recorder) Open(name string) (fs.File, error) { return r.sys.Open(name) }

// ReadFile is fs.ReadFileFS's.
func (r *Recorder) ReadFile(name string) ([]byte, error) {
	data, err := fs.ReadFile(r.sys, name)
	if err == nil {
		r.note(func(m *Machine) {
			if bytes.ContainsFunc(data, func(c rune) bool { return c < ' ' && c != '\n' || c > '~' }) {
				m.Pages[name] = data
			} else {
				m.Texts[name] = string(data)
			}
		})
	}
	return data, err
}

// ReadLink is fs.ReadLinkFS's, as is Lstat.
func (r *Recorder) ReadLink(name string) (string, error) {
	target, err := fs.ReadLink(r.sys, name)
	if err == nil {
		r.note(func(m *Machine) { m.Links[name] = target })
	}
	return target, err
}

// Lstat records nothing.
func (r *Recorder) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(r.sys, name) }

// Stat is fs.StatFS's. Of a file that is only asked for, it records that it is there.
func (r *Recorder) Stat(name string) (fs.FileInfo, error) {
	info, err := fs.Stat(r.sys, name)
	if err == nil && !info.IsDir() {
		r.note(func(m *Machine) {
			if _, known := m.Texts[name]; !known && m.Pages[name] == nil {
				m.Texts[name] = ""
			}
		})
	}
	return info, err
}

// ReadDir is fs.ReadDirFS's.
func (r *Recorder) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(r.sys, name)
	for _, e := range entries {
		if e.IsDir() {
			r.note(func(m *Machine) { m.Folders[path.Join(name, e.Name())] = true })
		}
	}
	return entries, err
}

// Commands returns a function that does what send does, and records the answers.
func (r *Recorder) Commands(send func(string, []byte, []byte) error) func(string, []byte, []byte) error {
	return func(path string, cdb, data []byte) error {
		err := send(path, cdb, data)
		if err == nil {
			r.note(func(m *Machine) { m.Commands[Command(path, cdb)] = bytes.Clone(data) })
		}
		return err
	}
}
