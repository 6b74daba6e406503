package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/live"
	"github.com/liveboot/liveboot/pkg/stream/daemon"
)

// mounted is the device that is mounted.
const mounted = "/dev/dm-0"

func device() error {
	began := time.Now()
	f, err := os.Open(mounted)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, make([]byte, 1<<20))
	if err != nil {
		return err
	}
	say("device %x %d bytes %.3f s", h.Sum(nil), n, time.Since(began).Seconds())
	return nil
}

// sequential takes the time of a read of it all, and plain that of a download, which keeps nothing either.
func sequential() error {
	if err := drop(); err != nil {
		return err
	}
	f, err := os.Open(mounted)
	if err != nil {
		return err
	}
	defer f.Close()
	return measure("sequential", f)
}

func plain() error {
	o, err := options()
	if err != nil {
		return err
	}
	image, err := fetch.Open(context.Background(), fetch.Source{URLs: []fetch.URL{fetch.URL(o["url"])}}, fetch.Environment{Roots: "/"})
	if err != nil {
		return err
	}
	defer image.Close()
	return measure("plain", image)
}

func measure(what string, r io.Reader) error {
	began := time.Now()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, make([]byte, 1<<20))
	if err != nil {
		return err
	}
	say("%s %.2f MiB/s", what, float64(n)/(1<<20)/time.Since(began).Seconds())
	return nil
}

// random takes the time of reads that the kernel has not made yet.
func random() error {
	const reads, size = 2000, 4096
	if err := drop(); err != nil {
		return err
	}
	f, err := os.Open(mounted)
	if err != nil {
		return err
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	b := make([]byte, size)
	began := time.Now()
	for range reads {
		if _, err := f.ReadAt(b, rand.Int64N(end/size)*size); err != nil {
			return err
		}
	}
	say("random %.1f us", float64(time.Since(began).Microseconds())/reads)
	return nil
}

func tree() error {
	h, files := sha256.New(), 0
	err := filepath.WalkDir(live.Paths{Base: live.DefaultBase}.Root(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		files++
		fmt.Fprintln(h, path)
		_, err = io.Copy(h, f)
		return errors.Join(err, f.Close())
	})
	if err != nil {
		return err
	}
	say("tree %x %d files", h.Sum(nil), files)
	return nil
}

func drop() error {
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0o644); err != nil {
		return err
	}
	say("dropped")
	return nil
}

func down() error {
	cards, err := netlink.LinkList()
	if err != nil {
		return err
	}
	for _, card := range cards {
		if err := netlink.LinkSetDown(card); err != nil {
			return err
		}
	}
	say("down")
	return nil
}

func state() error {
	beneath, err := os.ReadDir("/sys/block/" + filepath.Base(mounted) + "/slaves")
	if err != nil {
		return err
	}
	var names []string
	for _, entry := range beneath {
		names = append(names, entry.Name())
	}
	process := "none"
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, folder := range folders {
		line, err := os.ReadFile(filepath.Join(folder, "cmdline"))
		if err != nil || !strings.HasPrefix(string(line), daemon.Name+"\x00") {
			continue
		}
		status, err := os.ReadFile(filepath.Join(folder, "status"))
		if err != nil {
			continue // it has just ended
		}
		process = ""
		for text := range strings.Lines(string(status)) {
			if key, value, ok := strings.Cut(text, ":"); ok && (key == "VmRSS" || key == "VmLck" || key == "RssAnon" || key == "Threads") {
				process += " " + key + " " + strings.Join(strings.Fields(value), "")
			}
		}
	}
	say("state on %s, process %s;", strings.Join(names, ","), strings.TrimSpace(process))
	return nil
}
