package plan

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/cmdline"
	"github.com/liveboot/liveboot/pkg/console"
	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/fetch/curl"
	"github.com/liveboot/liveboot/pkg/handoff"
	"github.com/liveboot/liveboot/pkg/kernel/power"
	"github.com/liveboot/liveboot/pkg/overlay"
	"github.com/liveboot/liveboot/pkg/target"
)

// A Parameter is one kernel option.
type Parameter struct {
	Key string
	// Aliases are other keys of the same meaning.
	Aliases []string
	// Form is what stands behind the key, "=<KiB>" for example; empty for a switch.
	Form string
	// Default in words; empty for a switch that is off and an option that is not there.
	Default string
	// Doc is a sentence or two.
	Doc string
	// Secret says that the value is never to be shown.
	Secret bool
	set    func(*Plan, cmdline.Param) error
}

// errNotBuilt is the answer to options that are promised but not there yet. They are never ignored: who writes them relies on them.
var errNotBuilt = errors.New("this version of liveboot cannot do it yet; take the option off the line, or use a later version")

// Built reports whether the option works in this version.
func (p Parameter) Built() bool { return p.Doc != "" }

// Parameters returns the options, in the order in which they are documented, then those that are not built yet.
func Parameters() []Parameter {
	return slices.Concat(imageParameters(), streamParameters(), networkParameters(), systemParameters(), rescueParameters(), notBuilt())
}

func imageParameters() []Parameter {
	return []Parameter{
		{
			Key: "root", Form: "=live:<url>",
			Doc: "The live ISO to boot, over http, https, ftp, ftps, tftp or dolly; `live:` may be left out. It may be compressed (xz, gzip, zstd, bzip2). Given more than once, or several separated by spaces: mirrors. `#sha256=<hex>` behind the URL is the image's digest. A path only: the server is DHCP's, from the root path (option 17) or the next server. `${mac}`, `${ip}`, `${hostname}`, `${uuid}`, `${serial}`, `${arch}`, `${kernel}` are filled in. An image that the machine has already: `live:CDLABEL=<label>`, `LABEL=`, `UUID=`, `PARTUUID=`, `/dev/…`, or `AOEINTERFACE=e<shelf>.<slot>`.",
			set: setRoot,
		},
		{
			Key: "iso-scan/filename", Form: "=<path>",
			Doc: "Boot the ISO in a file of this path on a file system of the machine, as boot loaders that loop-boot an ISO pass it.",
			set: func(p *Plan, w cmdline.Param) error {
				if !strings.HasPrefix(w.Value, "/") {
					return errors.New("want the path of the ISO on its file system, from the /")
				}
				p.Local.File = w.Value
				return nil
			},
		},
		{
			Key: "rd.liveboot.sha256", Form: "=<hex>",
			Doc: "The image's SHA-256, as `sha256sum` prints it. Another image is not booted.",
			set: digest("sha256"),
		},
		{
			Key: "rd.liveboot.sha512", Form: "=<hex>",
			Doc: "The image's SHA-512, as `sha512sum` prints it. Another image is not booted.",
			set: digest("sha512"),
		},
		{
			Key: "rd.liveboot.key", Form: "=<key>|<path>",
			Doc: "Public key of minisign, signify (`RW…`) or, as a file in the initramfs, also OpenPGP: `<url>.sha256` must exist and be signed by it (`.minisig`, `.sig`, `.asc` behind its name). Without it, keys in `/etc/liveboot/keys` of the initramfs mean the same.",
			set: text(func(p *Plan) *string { return &p.Key }),
		},
		{
			Key: "rd.liveboot.connections", Form: "=<1 to 8>", Default: "1",
			Doc: "Download over so many connections at once, where the way to the server loses packets. HTTP and HTTPS only, and only from a server that serves ranges.",
			set: func(p *Plan, w cmdline.Param) error {
				n, err := strconv.Atoi(w.Value)
				if err != nil || n < 1 || n > fetch.MaxConnections {
					return fmt.Errorf("want a number from 1 to %d", fetch.MaxConnections)
				}
				p.Image.Connections = n
				return nil
			},
		},
		{
			Key: "rd.kiwi.live.curl_options", Form: "=<option>[,<option>…]", Secret: true,
			Doc: "Options for the download with curl's names and meaning, see below. A comma is a space.",
			set: func(p *Plan, w cmdline.Param) error { return curl.Apply(&p.Image.Options, w.Value) },
		},
		{
			Key: "rd.kiwi.live.dolly_options", Form: "=<option>[,<option>…]", Secret: true,
			Doc: "Options for `dolly:` URLs with dolly's names and meaning, see docs/fleet.md. A comma is a space.",
			set: setDollyOptions,
		},
		{
			Key: "rd.kiwi.live.system", Form: "=<device>", Default: target.RAMDisk,
			Doc: "The device that holds the image: the RAM disk, or a whole disk, by the kernel's name, any name below `/dev/disk/`, `LABEL=`, `UUID=`, `PARTUUID=`. A blank disk is given the image; from one that has it the machine boots without a network; any other is left as it is.",
			set: func(p *Plan, w cmdline.Param) error {
				p.Target.Device = w.Value
				return deviceName(w.Value)
			},
		},
		{
			Key: "rd.kiwi.live.reset",
			Doc: "Overwrite the disk of rd.kiwi.live.system=, whatever it holds, with a fresh image and a fresh writable layer.",
			set: func(p *Plan, w cmdline.Param) error {
				p.Target.Reset = w.Bool()
				return nil
			},
		},
		{
			Key: "ramdisk_size", Form: "=<KiB>", Default: "fits the image",
			Doc: "Size of the RAM disk. An image that does not fit is refused before it is downloaded.",
			set: func(p *Plan, w cmdline.Param) error {
				kib, err := strconv.ParseInt(w.Value, 10, 64)
				if err != nil || kib <= 0 || kib > 1<<40 {
					return errors.New("want the size in KiB, a number above 0")
				}
				p.Target.RAMDiskSize = kib << 10
				return nil
			},
		},
	}
}

// tmpfsSize is what the kernel takes behind size= of a tmpfs (memparse and per cent).
var tmpfsSize = regexp.MustCompile(`^[0-9]+[kKmMgGtTpPeE%]?$`)

func systemParameters() []Parameter {
	return []Parameter{
		{
			Key: "rd.live.image",
			Doc: "Accepted and not needed: every image is a live image.",
			set: accept,
		},
		{
			Key: "rd.live.dir", Aliases: []string{"live_dir"}, Form: "=<folder>", Default: "LiveOS",
			Doc: "Folder on the ISO, and in the container, that holds the root.",
			set: text(func(p *Plan) *string { return &p.Live.Dir }),
		},
		{
			Key: "rd.live.squashimg", Form: "=<file>", Default: "squashfs.img",
			Doc: "The container's file name; squashfs or erofs, found by content.",
			set: text(func(p *Plan) *string { return &p.Live.Container }),
		},
		{
			Key: "rd.live.check", Aliases: []string{"mediacheck"},
			Doc: "Before the image is mounted, compare it with the checksum that its maker put into it (implantisomd5 or tagmedia). An image without one is not booted.",
			set: func(p *Plan, w cmdline.Param) error {
				p.MediaCheck = w.Bool()
				return nil
			},
		},
		{
			Key: "rd.live.overlay.size", Form: "=<size>", Default: "50%",
			Doc: "Size of the tmpfs for what the live system writes, as tmpfs has it: bytes, or with k, m, g, or per cent of the memory.",
			set: func(p *Plan, w cmdline.Param) error {
				if !tmpfsSize.MatchString(w.Value) {
					return errors.New("want bytes, or a number with k, m, g or %: 2g or 75% for example")
				}
				if n, err := strconv.ParseInt(w.Value, 10, 64); err == nil && n > 0 && n < 1<<20 {
					p.warnf("rd.live.overlay.size=%s means %s bytes; for MiB write %sm", w.Value, w.Value, w.Value)
				}
				p.Overlay.Size = w.Value
				return nil
			},
		},
		{
			Key: "rd.live.overlay.persistent", Form: "[=auto]",
			Doc: "Keep what the live system writes, in a partition behind the image on its disk, which is made when it is missing. If that fails the boot stops; with `=auto` it goes on with a layer in memory. Has no effect, with a warning, for an image in memory.",
			set: func(p *Plan, w cmdline.Param) error {
				switch {
				case w.Value == "auto":
					p.Overlay.Persistence = overlay.PersistentIfPossible
				case w.Bool():
					p.Overlay.Persistence = overlay.Persistent
				default:
					p.Overlay.Persistence = overlay.Volatile
				}
				return nil
			},
		},
		{
			Key: "rd.live.overlay.cowfs", Form: "=ext4|xfs", Default: "ext4",
			Doc: "File system that is made for rd.live.overlay.persistent. One that is there stays as it is.",
			set: func(p *Plan, w cmdline.Param) error {
				p.Overlay.FileSystem = w.Value
				return oneOf("ext4", "xfs")(p, w)
			},
		},
		{
			Key: "rd.live.cowfile.path", Form: "=<path>", Default: "live_system.cow",
			Doc: "With iso-scan/filename= and rd.live.overlay.persistent: the file, on the file system with the ISO, that keeps what the live system writes. It is made when it is missing.",
			set: text(func(p *Plan) *string { return &p.Local.LayerFile }),
		},
		{
			Key: "rd.live.cowfile.mbsize", Form: "=<MiB>", Default: "500",
			Doc: "Size of that file when it is made.",
			set: func(p *Plan, w cmdline.Param) error {
				mib, err := strconv.ParseInt(w.Value, 10, 64)
				if err != nil || mib <= 0 || mib > 1<<30 {
					return errors.New("want the size in MiB, a number above 0")
				}
				p.Local.LayerSize = mib << 20
				return nil
			},
		},
		{
			Key: "rootflags", Form: "=<options>",
			Doc: "Mount options put before those of the overlay.",
			set: text(func(p *Plan) *string { return &p.Overlay.Options }),
		},
		{
			Key: "init", Form: "=<path>", Default: "/sbin/init",
			Doc: "Program to hand over to. Words after `--` become its arguments.",
			set: func(p *Plan, w cmdline.Param) error {
				if !strings.HasPrefix(w.Value, "/") {
					return errors.New("want an absolute path")
				}
				p.Handoff.Init = w.Value
				return nil
			},
		},
		{
			Key: "rd.liveboot.handoff", Form: "=auto|switch_root|kexec", Default: "auto",
			Doc: "How to give the machine to the live system: switch_root keeps the running kernel; kexec starts the image's own first, before the image is downloaded where its server serves ranges. `auto` is kexec where the live system has modules, and none for the running kernel.",
			set: func(p *Plan, w cmdline.Param) error {
				p.Handoff.Way = map[string]handoff.Way{"switch_root": handoff.SwitchRootOnly, "kexec": handoff.KexecAlways}[w.Value]
				return oneOf("auto", "switch_root", "kexec")(p, w)
			},
		},
		{
			Key: "rd.liveboot.append", Form: "=iso",
			Doc: "With kexec: put the options of the image's own boot entry in front of those of this line, but for those that would change the boot itself.",
			set: func(p *Plan, w cmdline.Param) error {
				p.Handoff.Append = true
				return oneOf("iso")(p, w)
			},
		},
		{
			Key: "rd.driver.blacklist", Aliases: []string{"module_blacklist", "modprobe.blacklist"}, Form: "=<driver>[,<driver>…]",
			Doc: "Drivers that no device gets.",
			set: list(func(p *Plan) *[]string { return &p.Devices.Blacklist }),
		},
		{
			Key: "rd.driver.pre", Form: "=<driver>[,<driver>…]",
			Doc: "Drivers to load before all others.",
			set: list(func(p *Plan) *[]string { return &p.Devices.First }),
		},
	}
}

func rescueParameters() []Parameter {
	return []Parameter{
		{
			Key: "rd.shell", Default: "offered for 60 s",
			Doc: "On failure open a shell at once; `rd.shell=0`: never. By default one is offered until the reboot.",
			set: func(p *Plan, w cmdline.Param) error {
				p.Rescue.Shell = ShellNever
				if w.Bool() {
					p.Rescue.Shell = ShellAtOnce
				}
				return nil
			},
		},
		{
			Key: "rd.emergency", Form: "=reboot|poweroff|halt", Default: "reboot",
			Doc: "What happens after a failure when nobody asks for a shell.",
			set: func(p *Plan, w cmdline.Param) error {
				p.Rescue.Action = power.Action(w.Value)
				return oneOf(string(power.Reboot), string(power.PowerOff), string(power.Halt))(p, w)
			},
		},
		{
			Key: "panic", Form: "=<seconds>", Default: "60 to 75",
			Doc: "Seconds from a failure to the reboot; 0 waits for ever.",
			set: func(p *Plan, w cmdline.Param) error {
				n, err := strconv.Atoi(w.Value)
				if err != nil || n > 1e6 {
					return errors.New("want a number of seconds")
				}
				p.Rescue.Delay, p.Rescue.Jitter = time.Duration(max(n, 0))*time.Second, 0
				if n == 0 {
					p.Rescue.Delay = -1
				}
				return nil
			},
		},
		{
			Key: "rd.break", Form: "[=<stage>]",
			Doc: "Open a shell before the stage: devices, network, target, fetch, live, overlay, handoff, or dracut's cmdline, pre-mount, mount, pre-pivot. Leaving it goes on. Without a stage: before the handoff.",
			set: setBreak,
		},
		{
			Key: "rd.debug", Aliases: []string{"rd.kiwi.debug"},
			Doc: "Every step and decision on the console, and in /run/initramfs/log/boot.kiwi.",
			set: func(p *Plan, w cmdline.Param) error {
				if w.Bool() {
					p.Verbosity = console.Debug
				} else if p.Verbosity == console.Debug {
					p.Verbosity = console.Normal
				}
				return nil
			},
		},
		{
			Key: "quiet",
			Doc: "Only a line for each stage, the progress, and problems.",
			set: func(p *Plan, w cmdline.Param) error {
				if p.Verbosity != console.Debug {
					p.Verbosity = console.Quiet
				}
				return nil
			},
		},
	}
}

// notBuilt are the options of the contract that this version refuses. Each is refused as soon as it asks for something.
func notBuilt() []Parameter {
	refuse := func(_ *Plan, w cmdline.Param) error {
		if !w.Bool() {
			return nil
		}
		return errNotBuilt
	}
	var rows []Parameter
	for _, key := range []string{
		"rd.live.encrypt", "rd.kiwi.verity_options",
		"rd.liveboot.report", "rd.liveboot.log", "rd.liveboot.dry-run",
		"rd.liveboot.trace",
	} {
		rows = append(rows, Parameter{Key: key, set: refuse})
	}
	return rows
}

func accept(*Plan, cmdline.Param) error { return nil }

func text(field func(*Plan) *string) func(*Plan, cmdline.Param) error {
	return func(p *Plan, w cmdline.Param) error {
		if w.Value == "" {
			return errors.New("want a value behind the =")
		}
		*field(p) = w.Value
		return nil
	}
}

func list(field func(*Plan) *[]string) func(*Plan, cmdline.Param) error {
	return func(p *Plan, w cmdline.Param) error {
		for name := range strings.SplitSeq(w.Value, ",") {
			if name != "" {
				*field(p) = append(*field(p), name)
			}
		}
		return nil
	}
}

func oneOf(values ...string) func(*Plan, cmdline.Param) error {
	return func(_ *Plan, w cmdline.Param) error {
		if !slices.Contains(values, w.Value) {
			return fmt.Errorf("want one of %s", strings.Join(values, ", "))
		}
		return nil
	}
}
