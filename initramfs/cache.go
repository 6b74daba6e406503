package initramfs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// cacheAge is how long an entry that nobody asks for is kept.
const cacheAge = 30 * 24 * time.Hour

// cache keeps results by the hash of what they were made from. Several
// builds may use one folder at once: an entry appears complete or not at all,
// and starts with its own SHA-256, so that a damaged one is made anew.
type cache struct {
	dir string // empty: nothing is kept
}

// cacheOf is the cache of a configuration.
func cacheOf(c Config) (cache, error) {
	dir := c.Cache
	if dir == "" {
		var err error
		if dir, err = cacheDir(); err != nil || dir == "" {
			return cache{}, err
		}
	}
	return cache{dir: filepath.Join(dir, "initramfs")}, nil
}

// cacheDir is $LIVEBOOT_CACHE, else $XDG_CACHE_HOME/liveboot, else
// $HOME/.cache/liveboot. It is empty where none of these is set, as for a
// service of the system: what is built there is built anew each time.
func cacheDir() (string, error) {
	if dir := os.Getenv("LIVEBOOT_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	if os.Getenv("XDG_CACHE_HOME") == "" && os.Getenv("HOME") == "" {
		return "", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w; set LIVEBOOT_CACHE", err)
	}
	return filepath.Join(dir, "liveboot"), nil
}

// get returns what produce returned the last time for the same key.
func (c cache) get(key [sha256.Size]byte, produce func() ([]byte, error)) ([]byte, error) {
	if b, ok := c.load(key); ok {
		return b, nil
	}
	b, err := produce()
	if err != nil {
		return nil, err
	}
	return b, c.store(key, b)
}

func (c cache) file(key [sha256.Size]byte) string {
	return filepath.Join(c.dir, hex.EncodeToString(key[:]))
}

func (c cache) store(key [sha256.Size]byte, b []byte) error {
	if c.dir == "" {
		return nil
	}
	if err := os.MkdirAll(c.dir, 0o777); err != nil {
		return fmt.Errorf("make the cache folder: %w; set LIVEBOOT_CACHE to a folder that can be written", err)
	}
	sum := sha256.Sum256(b)
	if err := writeFile(c.file(key), 0o644, sum[:], b); err != nil {
		return fmt.Errorf("write to the cache: %w", err)
	}
	c.prune()
	return nil
}

func (c cache) load(key [sha256.Size]byte) ([]byte, bool) {
	if c.dir == "" {
		return nil, false
	}
	file := c.file(key)
	b, err := os.ReadFile(file)
	if err != nil || len(b) < sha256.Size {
		return nil, false
	}
	content := b[sha256.Size:]
	if sha256.Sum256(content) != [sha256.Size]byte(b[:sha256.Size]) {
		return nil, false
	}
	// The time says when the entry was last of use. If it cannot be set, the
	// entry is only made anew earlier.
	now := time.Now()
	_ = os.Chtimes(file, now, now)
	return content, true
}

// prune removes what has not been of use for long. It is housekeeping:
// whatever it cannot remove stays.
func (c cache) prune() {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.Type().IsRegular() && time.Since(info.ModTime()) > cacheAge {
			_ = os.Remove(filepath.Join(c.dir, e.Name()))
		}
	}
}

// writeFile makes a file appear with all its content at once. The parts are
// written one behind the other.
func writeFile(name string, mode fs.FileMode, parts ...[]byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	for _, p := range parts {
		if _, err := f.Write(p); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err := errors.Join(f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
