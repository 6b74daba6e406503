package bootmenu

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// testdata is a file of an ISO's menu.
func testdata(t testing.TB, name string) *fstest.MapFile {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return &fstest.MapFile{Data: b}
}

func file(lines ...string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(strings.Join(lines, "\n"))}
}

func TestEntries(t *testing.T) {
	const kiwi = "boot/x86_64/loader/"
	tests := []struct {
		name string
		in   fstest.MapFS
		want []Entry
	}{
		{"KIWI", fstest.MapFS{"boot/grub/grub.cfg": testdata(t, "kiwi-grub.cfg"), "boot/0xb0b29868": file()}, []Entry{
			{"boot/grub/grub.cfg", "kiwi-live", kiwi + "linux", []string{kiwi + "initrd"}, "console=ttyS0 root=live:CDLABEL=CDROM rd.live.image rd.live.overlay.persistent rd.live.overlay.cowfs=ext4"},
			{"boot/grub/grub.cfg", "Failsafe -- kiwi-live", kiwi + "linux", []string{kiwi + "initrd"}, "console=ttyS0 ide=nodma apm=off noresume edd=off nomodeset 3 root=live:CDLABEL=CDROM rd.live.image rd.live.overlay.persistent rd.live.overlay.cowfs=ext4"},
		}},
		{"Debian live, GRUB with a file for settings", fstest.MapFS{
			"boot/grub/grub.cfg": testdata(t, "debian-grub.cfg"), "boot/grub/config.cfg": file("set default=0", "loadfont $prefix/dejavu.pf2", "set timeout=5"),
		}, []Entry{
			{"boot/grub/grub.cfg", "Live system (amd64)", "live/vmlinuz-6.1.0-13-amd64", []string{"live/initrd.img-6.1.0-13-amd64"}, "boot=live components quiet splash findiso="},
			{"boot/grub/grub.cfg", "Live system (amd64 fail-safe mode)", "live/vmlinuz-6.1.0-13-amd64", []string{"live/initrd.img-6.1.0-13-amd64"}, "boot=live components memtest noapic noapm nodma nomce nosmp nosplash vga=788"},
			{"boot/grub/grub.cfg", "Start installer", "install/vmlinuz", []string{"install/initrd.gz"}, "vga=788 --- quiet"},
		}},
		{"Fedora", fstest.MapFS{"EFI/BOOT/grub.cfg": testdata(t, "fedora-grub.cfg")}, []Entry{
			{"EFI/BOOT/grub.cfg", "Test this media & start Fedora-Workstation-Live 39", "images/pxeboot/vmlinuz", []string{"images/pxeboot/initrd.img"}, "root=live:CDLABEL=Fedora-WS-Live-39-1-5 rd.live.image rd.live.check quiet rhgb"},
			{"EFI/BOOT/grub.cfg", "Start Fedora-Workstation-Live 39", "images/pxeboot/vmlinuz", []string{"images/pxeboot/initrd.img"}, "root=live:CDLABEL=Fedora-WS-Live-39-1-5 rd.live.image quiet rhgb"},
			{"EFI/BOOT/grub.cfg", "Start Fedora-Workstation-Live 39 in basic graphics mode", "images/pxeboot/vmlinuz", []string{"images/pxeboot/initrd.img"}, "root=live:CDLABEL=Fedora-WS-Live-39-1-5 rd.live.image nomodeset vga=791 quiet rhgb"},
		}},
		{"ISOLINUX in several files", fstest.MapFS{
			"isolinux/isolinux.cfg": file("include menu.cfg", "default vesamenu.c32", "prompt 0"),
			"isolinux/menu.cfg":     file("menu title Boot menu", "INCLUDE live.cfg"),
			"isolinux/live.cfg": file(
				"label live-amd64", "\tmenu label ^Live system", "\tlinux /live/vmlinuz", "\tinitrd /live/initrd.img", "\tappend boot=live quiet", "",
				"label safe", "\tmenu label Safe ^mode", "\tmenu default", "\tkernel vmlinuz", "\tTEXT HELP", "\tkernel of help", "\tENDTEXT", "\tappend initrd=/a.img,b.img boot=live",
				"label disk", "\tkernel chain.c32"),
		}, []Entry{
			{"isolinux/isolinux.cfg", "Safe mode", "isolinux/vmlinuz", []string{"a.img", "isolinux/b.img"}, "boot=live"},
			{"isolinux/isolinux.cfg", "Live system", "live/vmlinuz", []string{"live/initrd.img"}, "boot=live quiet"},
		}},
		{"ISOLINUX with options for all", fstest.MapFS{
			"syslinux.cfg": file("DEFAULT b", "APPEND x=1", "LABEL a", "KERNEL /k", "LABEL b", "KERNEL /k2", "LABEL c", "KERNEL /k3", "APPEND -"),
		}, []Entry{{"syslinux.cfg", "b", "k2", nil, "x=1"}, {"syslinux.cfg", "a", "k", nil, "x=1"}, {"syslinux.cfg", "c", "k3", nil, ""}}},
		{"Boot Loader Specification", fstest.MapFS{
			"loader/loader.conf":        file("timeout 3", "default two*"),
			"loader/entries/one.conf":   file("# one", "title One", "linux /one/linux", "initrd /ucode", "initrd /one/initrd", "options quiet", "options splash"),
			"loader/entries/two-1.conf": file("title\tTwo", "linux\t/two/linux"),
		}, []Entry{
			{"loader/entries", "Two", "two/linux", nil, ""},
			{"loader/entries", "One", "one/linux", []string{"ucode", "one/initrd"}, "quiet splash"},
		}},
		{"default in a submenu", fstest.MapFS{"boot/grub2/grub.cfg": file(
			`set default="1>second"`, `menuentry a { linux /a }`, `submenu More {`, `  menuentry "b" { linux /b }`, `  menuentry "c" --id second { linux /c "x y" z; initrd /i /j }`, `}`)},
			[]Entry{{"boot/grub2/grub.cfg", "c", "c", []string{"i", "j"}, `"x y" z`}, {"boot/grub2/grub.cfg", "a", "a", nil, ""}, {"boot/grub2/grub.cfg", "b", "b", nil, ""}}},
		{"number counts entries without a kernel", fstest.MapFS{"boot/grub/grub.cfg": file(
			`default=2`, `menuentry Firmware { fwsetup }`, `menuentry a { linux /a }`, `menuentry b { linux /b }`)},
			[]Entry{{"boot/grub/grub.cfg", "b", "b", nil, ""}, {"boot/grub/grub.cfg", "a", "a", nil, ""}}},
		{"conditions", fstest.MapFS{"boot/grub/grub.cfg": file(
			`if [ "$grub_platform" == pc ]; then o=pc; elif [ -f /boot/grub/grub.cfg -a ! -e /none ]; then`, ` if [ x = y ]; then o=no; else o=efi; fi`, `else`, ` o=none`, `fi`,
			`if [ -n "$unset" ] || true && [ a != b ]; then p=1; fi`, `menuentry a { if cpuid -l; then linux /a $o $p; else linux /b; fi }`)},
			[]Entry{{"boot/grub/grub.cfg", "a", "a", nil, "efi 1"}}},
		{"conditions of somebody else", fstest.MapFS{"boot/grub/grub.cfg": file(`if unknown; then`, `menuentry a { linux /a }`, `fi`)},
			[]Entry{{"boot/grub/grub.cfg", "a", "a", nil, ""}}},
		{"another file has the menu", fstest.MapFS{
			"EFI/BOOT/grub.cfg": file(`search --file --set=root /x`, `configfile ($root)/grub/menu`), "grub/menu": file(`menuentry "a" { linux ($root)/a a=\$b 'c d' e="f g" }`)},
			[]Entry{{"EFI/BOOT/grub.cfg", "a", "a", nil, `a=$b "c d" "e=f g"`}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Entries(tt.in, "amd64")
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("Entries: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// TestArchitecture: a menu for several kinds of machines gives each its kernel.
func TestArchitecture(t *testing.T) {
	in := fstest.MapFS{"boot/grub/grub.cfg": file(
		`if [ "$grub_cpu" = x86_64 ]; then k=/amd64; elif [ "$grub_cpu" = i386 ]; then k=/386; elif [ "$grub_cpu" = arm64 ]; then k=/arm64; else k=/none; fi`,
		`menuentry a { if cpuid -l; then linux $k long; else linux $k; fi }`)}
	for arch, want := range map[string]Entry{
		"amd64": {"boot/grub/grub.cfg", "a", "amd64", nil, "long"}, "386": {"boot/grub/grub.cfg", "a", "386", nil, ""}, "arm64": {"boot/grub/grub.cfg", "a", "arm64", nil, ""},
	} {
		got, err := Entries(in, arch)
		if diff := cmp.Diff([]Entry{want}, got); diff != "" || err != nil {
			t.Errorf("Entries(%s): %v (-want +got):\n%s", arch, err, diff)
		}
	}
}

func TestNoEntries(t *testing.T) {
	for name, in := range map[string]fstest.MapFS{
		"nothing":       {},
		"no kernel":     {"boot/grub/grub.cfg": file("menuentry a { chainloader +1 }")},
		"reads itself":  {"boot/grub/grub.cfg": file("source /boot/grub/grub.cfg", "configfile /boot/grub/grub.cfg")},
		"a folder":      {"boot/grub/grub.cfg/x": file("")},
		"grows":         {"boot/grub/grub.cfg": file("a=xxxxxxxxxxxxxxxx", strings.Repeat("a=$a$a$a$a\n", 1000))},
		"braces":        {"boot/grub/grub.cfg": file(strings.Repeat("{", 10000), strings.Repeat("}", 10000), "menuentry {{{")},
		"a quoted if":   {"boot/grub/grub.cfg": file(`""if&0`)},
		"never closed":  {"boot/grub/grub.cfg": file(`menuentry "a { linux /a`)},
		"no such names": {"isolinux.cfg": file("label a", "kernel a.c32")},
	} {
		if got, err := Entries(in, "amd64"); !errors.Is(err, ErrNone) {
			t.Errorf("%s: Entries = %v, %v, want %v", name, got, err, ErrNone)
		}
	}
}

func FuzzEntries(f *testing.F) {
	for _, name := range []string{"kiwi-grub.cfg", "debian-grub.cfg", "fedora-grub.cfg"} {
		f.Add(testdata(f, name).Data)
	}
	f.Add([]byte("default a\nlabel a\nkernel /a\nappend initrd=b c\ninclude isolinux.cfg\n"))
	f.Add([]byte("if [ a = b -o ! c ]; then linux $a${b}; elif true; then for i in a; do b; done; else c; fi"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, name := range []string{"boot/grub/grub.cfg", "isolinux.cfg", "loader/entries/a.conf"} {
			entries, err := Entries(fstest.MapFS{name: &fstest.MapFile{Data: text}}, "amd64")
			if err == nil && (len(entries) == 0 || entries[0].Kernel == "") {
				t.Errorf("Entries = %v without a kernel", entries)
			}
		}
	})
}
