package qemu

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// log keeps a machine's console: in a file while it runs, so that it is there even when the test is killed, and in the
// test's output when the test fails or is verbose (-v; LIVEBOOT_CONSOLE=off leaves -v to the names of the tests).
type log struct {
	t       testing.TB
	name    string
	file    *os.File
	err     error // from writing the file
	stream  bool  // show each line as it comes
	command string
}

// LogDir is where the consoles of failed tests are kept: $LIVEBOOT_TEST_LOGS, or test-logs in the cache folder.
func LogDir() (string, error) {
	if dir := os.Getenv("LIVEBOOT_TEST_LOGS"); dir != "" {
		return dir, nil
	}
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "test-logs"), nil
}

// openLog makes the file, named after the test and the machine; that of an earlier run is overwritten.
func openLog(t testing.TB, c Config) (*log, error) {
	dir, err := LogDir()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("keep the console: %w", err)
	}
	name := c.Name
	if name == "" {
		name = "vm"
	}
	plain := regexp.MustCompile(`[^A-Za-z0-9._-]+`).ReplaceAllString(t.Name()+"-"+name, "-")
	f, err := os.Create(filepath.Join(dir, plain+".log"))
	if err != nil {
		return nil, fmt.Errorf("keep the console: %w", err)
	}
	stream := testing.Verbose() && os.Getenv("LIVEBOOT_CONSOLE") != "off"
	return &log{t: t, name: name, file: f, stream: stream}, nil
}

func (l *log) commandLine(s string) {
	l.command = s
	if l.stream {
		l.t.Logf("%s: %s", l.name, s)
	}
}

func (l *log) line(line Line) {
	if l.stream {
		l.t.Logf("%s: %s", l.name, line)
	}
	if _, err := fmt.Fprintln(l.file, line); err != nil {
		l.err = errors.Join(l.err, err)
	}
}

// close shows and keeps the console of a failed test, and removes that of a good one.
func (l *log) close(failed bool) error {
	err := errors.Join(l.err, l.file.Close())
	if !failed {
		return errors.Join(err, os.Remove(l.file.Name()))
	}
	if !l.stream {
		l.t.Logf("%s: %s", l.name, l.command)
		err = errors.Join(err, l.replay())
	}
	l.t.Logf("%s: the console is kept in %s", l.name, l.file.Name())
	return err
}

// replay puts the file's lines into the test's output.
func (l *log) replay() error {
	f, err := os.Open(l.file.Name())
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		l.t.Logf("%s: %s", l.name, lines.Text())
	}
	return lines.Err()
}
