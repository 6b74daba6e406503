package isokernel

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/initrd/initrdtest"
	"github.com/liveboot/liveboot/pkg/kernel/module"
	"github.com/liveboot/liveboot/pkg/kernelimage"
	"github.com/liveboot/liveboot/pkg/kernelmodules/kernelmodulestest"
)

const release = "6.1.0-56-amd64"

// initrdOf packs the modules of the folder that keep accepts, with an index of them.
func initrdOf(folder fstest.MapFS, keep func(name string) bool) []byte {
	var files []string
	for name, f := range folder {
		content := string(f.Data)
		if name == "modules.dep" {
			var lines []string
			for line := range strings.Lines(content) {
				if file, _, _ := strings.Cut(line, ":"); keep(file) {
					lines = append(lines, line)
				}
			}
			content = strings.Join(lines, "")
		} else if !strings.HasPrefix(name, "modules.") && !keep(name) {
			continue
		}
		files = append(files, path.Join("usr/lib/modules", release, name)+" "+content)
	}
	slices.Sort(files)
	files = append([]string{"bin/sh shell", "lib@ usr/lib", "usr/lib/modules/1.0/kernel/brd.ko another kernel's"}, files...)
	return append(initrdtest.Newc("kernel/x86/microcode/a.bin microcode"), initrdtest.Gzip(initrdtest.Newc(files...))...)
}

// inArchive is a folder as mkinitramfs makes it, with its modules in an archive.
func inArchive(folder fstest.MapFS) fstest.MapFS {
	made := fstest.MapFS{}
	var members []string
	for name, f := range folder {
		if strings.HasPrefix(name, "modules.") {
			made[name] = f
		} else {
			members = append(members, name+" "+string(f.Data))
		}
	}
	slices.Sort(members)
	const archive = module.ArchiveFolder + "/1" + module.ArchiveSuffix
	made[archive] = &fstest.MapFile{Data: initrdtest.Zstd(initrdtest.Newc(members...))}
	dep := strings.ReplaceAll("\n"+string(folder["modules.dep"].Data), "\nkernel/", "\n"+archive+"/kernel/")
	made["modules.dep"] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(dep, " kernel/", " "+archive+"/kernel/"))}
	return made
}

func notBrd(name string) bool { return !strings.Contains(name, "brd") }

func all(string) bool { return true }

// kernelWith is a kernel with these initrds.
func kernelWith(initrds ...[]byte) *Kernel {
	k := &Kernel{Info: kernelimage.Info{Release: release}}
	for _, b := range initrds {
		k.Initrds = append(k.Initrds, File{"boot/initrd", int64(len(b)), bytes.NewReader(b)})
	}
	return k
}

// rootOf has the folder as its modules.
func rootOf(folder fstest.MapFS) fstest.MapFS {
	root := fstest.MapFS{}
	for name, f := range folder {
		root[path.Join("usr/lib/modules", release, name)] = f
	}
	return root
}

func need(name string) Need { return Need{[]string{name}, "the " + name} }

func TestModules(t *testing.T) {
	folder := kernelmodulestest.Folder()
	noIndex := func(name string) bool { return strings.HasSuffix(name, ".ko") }
	cut := kernelmodulestest.Folder()
	delete(cut, "modules.dep")
	tests := []struct {
		name     string
		kernel   *Kernel
		running  fs.FS
		root     fs.FS // nil: may not be opened
		wish     Wish
		want     []string
		fromRoot []string
		leftOut  []string
		passes   int
	}{
		{"all in the initrd", kernelWith(initrdOf(folder, notBrd)), folder, nil,
			Wish{[]Need{need("fs-ext4"), need("loop")}, []string{"pci:v000010ECd00008168sv0sd0bc02sc00i00", "pci:nothing"}},
			[]string{"crc32c_generic", "ext4", "jbd2", "libphy", "mbcache", "r8169", "realtek"}, nil, nil, 1},
		{"all in an archive in the initrd", kernelWith(initrdOf(inArchive(folder), all)), inArchive(folder), nil,
			Wish{[]Need{need("fs-ext4"), need("loop")}, []string{"pci:v000010ECd00008168sv0sd0bc02sc00i00", "pci:nothing"}},
			[]string{"crc32c_generic", "ext4", "jbd2", "libphy", "mbcache", "r8169", "realtek"}, nil, nil, 1},
		{"the running kernel tells nothing", kernelWith(initrdOf(folder, notBrd)), nil, nil,
			Wish{Needed: []Need{need("fs-ext4")}}, []string{"crc32c_generic", "ext4", "jbd2", "mbcache"}, nil, nil, 2},
		{"one is in the root", kernelWith(initrdOf(folder, notBrd)), folder, rootOf(folder),
			Wish{Needed: []Need{need("brd"), need("squashfs")}}, []string{"brd", "squashfs"}, []string{"brd"}, nil, 1},
		{"wanted, not needed, and in the root", kernelWith(initrdOf(folder, notBrd)), folder, rootOf(folder),
			Wish{Names: []string{"brd"}}, []string{"brd"}, []string{"brd"}, nil, 1},
		{"wanted, not needed, and nowhere", kernelWith(initrdOf(folder, notBrd)), folder, fstest.MapFS{},
			Wish{Names: []string{"brd", "ext4"}}, []string{"crc32c_generic", "ext4", "jbd2", "mbcache"}, nil, []string{"brd"}, 1},
		{"of one driver or another", kernelWith(initrdOf(folder, notBrd)), folder, nil,
			Wish{Needed: []Need{{[]string{"fs-erofs", "squashfs"}, "the container"}}}, []string{"squashfs"}, nil, nil, 1},
		{"no index in the initrd", kernelWith(initrdOf(cut, noIndex)), folder, rootOf(folder),
			Wish{Needed: []Need{need("squashfs"), need("r8169")}}, []string{"libphy", "r8169", "realtek", "squashfs"}, []string{"r8169"}, nil, 1},
		{"two initrds", kernelWith(initrdOf(folder, notBrd), initrdtest.Newc("lib/modules/"+release+"/kernel/drivers/block/brd.ko brd")), folder, rootOf(folder),
			Wish{Needed: []Need{need("brd")}}, []string{"brd"}, nil, nil, 1},
		{"one that shares its content with another file", kernelWith(initrdOf(folder, notBrd), initrdtest.Newc("lib/modules/"+release+"/kernel/drivers/block/brd.ko=", "b= brd")), folder, rootOf(folder),
			Wish{Needed: []Need{need("brd")}}, []string{"brd"}, []string{"brd"}, nil, 1},
		{"no initrd", kernelWith(), folder, rootOf(folder), Wish{Needed: []Need{need("brd")}}, []string{"brd"}, []string{"brd"}, nil, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			taken, err := Modules(t.Context(), tt.kernel, Source{tt.running, func() (fs.FS, error) {
				if tt.root == nil {
					t.Error("the root is opened")
					return nil, fs.ErrNotExist
				}
				return tt.root, nil
			}, nil}, tt.wish)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(taken.Modules)
			if diff := cmp.Diff(tt.want, taken.Modules); diff != "" {
				t.Errorf("modules (-want +got):\n%s", diff)
			}
			if !slices.Equal(taken.FromRoot, tt.fromRoot) || !slices.Equal(taken.LeftOut, tt.leftOut) || taken.Passes != tt.passes {
				t.Errorf("from the root %q, left out %q, %d passes, want %q, %q, %d", taken.FromRoot, taken.LeftOut, taken.Passes, tt.fromRoot, tt.leftOut, tt.passes)
			}
			checkFolder(t, taken.FS, tt.want)
		})
	}
}

// checkFolder looks whether all modules are there and in the index.
func checkFolder(t *testing.T, fsys fs.FS, names []string) {
	t.Helper()
	dep, err := fs.ReadFile(fsys, "modules.dep")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(dep)) {
		file, _, _ := strings.Cut(line, ":")
		if b, err := fs.ReadFile(fsys, file); err != nil || len(b) == 0 {
			t.Errorf("%s = %q, %v, want a module", file, b, err)
		}
	}
	if n := strings.Count(string(dep), "\n"); n != len(names) {
		t.Errorf("modules.dep has %d modules, want %d", n, len(names))
	}
}

func TestMissing(t *testing.T) {
	folder := kernelmodulestest.Folder()
	unreadable := &UnreadableError{Name: "LiveOS/rootfs.img", Kind: "btrfs"}
	_, err := Modules(t.Context(), kernelWith(initrdOf(folder, notBrd)), Source{Running: folder, Root: func() (fs.FS, error) { return nil, unreadable }},
		Wish{Needed: []Need{need("squashfs"), {[]string{"brd"}, "the RAM disk"}, {[]string{"e1000e", "pci:x"}, "the network card eth0"}}})
	var missing *MissingError
	if !errors.As(err, &missing) || len(missing.Missing) != 2 || !errors.Is(err, unreadable) {
		t.Fatalf("Modules = %v, want a MissingError of two, with why the root was not read", err)
	}
	for _, want := range []string{release, "brd (the RAM disk)", "e1000e (the network card eth0)", "btrfs"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Modules = %v, want %q in it", err, want)
		}
	}
}

// TestIncomplete: a module whose dependency is not there is not there.
func TestIncomplete(t *testing.T) {
	folder := kernelmodulestest.Folder()
	b := initrdOf(folder, func(name string) bool { return !strings.Contains(name, "jbd2") })
	_, err := Modules(t.Context(), kernelWith(b), Source{}, Wish{Needed: []Need{need("ext4")}})
	var missing *MissingError
	if !errors.As(err, &missing) {
		t.Errorf("Modules = %v, want a MissingError", err)
	}
}

func TestModulesErrors(t *testing.T) {
	good := initrdOf(kernelmodulestest.Folder(), all)
	short := kernelWith(good)
	short.Initrds[0].Size++
	huge := kernelWith(good)
	huge.Initrds[0].Size = 1 << 40
	overflowing := kernelWith(good, good)
	overflowing.Initrds[0].Size, overflowing.Initrds[1].Size = 1<<62, 1<<62
	for _, tt := range []struct {
		name   string
		kernel *Kernel
		want   string
	}{
		{"cut off", kernelWith(good[:len(good)/2]), "boot/initrd: initrd, segment 2"},
		{"shorter than it says", short, "unexpected EOF"},
		{"too large", huge, "no more than 512 MiB"},
		{"too large together", overflowing, "no more than 512 MiB"},
		{"a damaged index", kernelWith(initrdtest.Newc("lib/modules/" + release + "/modules.dep nonsense")), "no colon"},
	} {
		if _, err := Modules(t.Context(), tt.kernel, Source{}, Wish{Needed: []Need{need("ext4")}}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Modules(%s) = %v, want an error with %q", tt.name, err, tt.want)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := Modules(ctx, kernelWith(good), Source{}, Wish{}); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("Modules(cancelled) = %v, want its cause", err)
	}
}
