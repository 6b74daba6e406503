package plan

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/cmdline"
	"github.com/liveboot/liveboot/pkg/console"
	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/kernel/power"
	"github.com/liveboot/liveboot/pkg/network"
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
	set func(*Plan, cmdline.Param) error
}

// errNotBuilt is the answer to options that are promised but not there yet. They are never ignored: who writes them relies on them.
var errNotBuilt = errors.New("this version of liveboot cannot do it yet; take the option off the line, or use a later version")

// Built reports whether the option works in this version.
func (p Parameter) Built() bool { return p.Doc != "" }

// Parameters returns the options, in the order in which they are documented, then those that are not built yet.
func Parameters() []Parameter {
	return slices.Concat(imageParameters(), networkParameters(), systemParameters(), rescueParameters(), notBuilt())
}

func imageParameters() []Parameter {
	return []Parameter{
		{
			Key: "root", Form: "=live:<url>",
			Doc: "The live ISO to boot, over http or https; `live:` may be left out. Given more than once, or several separated by spaces: mirrors, of which the first that answers is used. `#sha256=<hex>` behind the URL is the image's digest.",
			set: setRoot,
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
			Key: "rd.kiwi.live.system", Form: "=<device>", Default: target.RAMDisk,
			Doc: "The device that holds the image: the RAM disk.",
			set: func(p *Plan, w cmdline.Param) error {
				if w.Value != target.RAMDisk {
					return errNotBuilt
				}
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

func networkParameters() []Parameter {
	return []Parameter{
		{
			Key: "ip", Form: "=dhcp|on|any|<interface>:dhcp", Default: "dhcp",
			Doc: "DHCP on all interfaces at once, the first lease wins; or on one, given by the kernel's name (`eth0`) or by its hardware address written `aa-bb-cc-dd-ee-ff`.",
			set: setIP,
		},
		{
			Key: "BOOTIF", Form: "=01-<mac>",
			Doc: "Use the interface with this hardware address, as PXELINUX's SYSAPPEND 2 writes it.",
			set: func(p *Plan, w cmdline.Param) error {
				mac, ok := strings.CutPrefix(w.Value, "01-")
				link := network.ParseSelector(mac)
				if !ok || link.MAC == "" {
					return errors.New("want 01- and six octets, 01-52-54-00-12-34-56 for example")
				}
				p.reading.bootif = link
				return nil
			},
		},
		{
			Key: "rd.bootif", Form: "=0", Default: "1",
			Doc: "Ignore BOOTIF.",
			set: func(p *Plan, w cmdline.Param) error {
				p.reading.ignoreBootif = !w.Bool()
				return nil
			},
		},
		{
			Key: "nameserver", Form: "=<address>",
			Doc: "A resolver, asked before those from DHCP. May be given more than once.",
			set: func(p *Plan, w cmdline.Param) error {
				address, err := netip.ParseAddr(strings.Trim(w.Value, "[]"))
				if err != nil {
					return fmt.Errorf("want an IP address: %w", err)
				}
				p.Network.Resolvers = append(p.Network.Resolvers, address)
				return nil
			},
		},
		{
			Key: "rd.peerdns", Form: "=0", Default: "1",
			Doc: "Do not use the resolvers from DHCP.",
			set: func(p *Plan, w cmdline.Param) error {
				p.Network.IgnorePeerDNS = !w.Bool()
				return nil
			},
		},
		{
			Key: "rd.neednet", Form: "=1",
			Doc: "Accepted and not needed: an image from the network implies the network.",
			set: accept,
		},
		timeout("rd.net.timeout.iflink", "for a network interface to appear", func(t *network.Timeouts) *time.Duration { return &t.Link }),
		timeout("rd.net.timeout.carrier", "for a carrier on any interface", func(t *network.Timeouts) *time.Duration { return &t.Carrier }),
		timeout("rd.net.timeout.dhcp", "for a lease, from the first carrier on", func(t *network.Timeouts) *time.Duration { return &t.Lease }),
		{
			Key: "proxy", Form: "=<url>",
			Doc: "HTTP proxy for http and https.",
			set: func(p *Plan, w cmdline.Param) (err error) {
				address := w.Value
				if !strings.Contains(address, "://") {
					address = "http://" + address // as curl has it
				}
				p.Image.Proxy, err = fetch.ParseURL(address)
				return err
			},
		},
		{
			Key: "rd.noverifyssl",
			Doc: "Accept any certificate of an https server.",
			set: func(p *Plan, w cmdline.Param) error {
				p.Image.Insecure = w.Bool()
				return nil
			},
		},
	}
}

// timeout is a row for one of the network's time-outs.
func timeout(key, what string, field func(*network.Timeouts) *time.Duration) Parameter {
	d := network.DefaultTimeouts()
	return Parameter{
		Key: key, Form: "=<seconds>", Default: fmt.Sprint(int(field(&d).Seconds())),
		Doc: "How long to wait " + what + ".",
		set: func(p *Plan, w cmdline.Param) error {
			duration, err := seconds(w)
			*field(&p.Network.Timeouts) = duration
			return err
		},
	}
}

func seconds(w cmdline.Param) (time.Duration, error) {
	n, err := strconv.Atoi(w.Value)
	if err != nil || n <= 0 || n > 1e6 {
		return 0, errors.New("want a number of seconds above 0")
	}
	return time.Duration(n) * time.Second, nil
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
			Key: "rd.live.overlay.persistent",
			Doc: "Keep what the live system writes. Has no effect, with a warning, for an image in memory.",
			set: func(p *Plan, w cmdline.Param) error {
				p.persistent = w.Bool()
				return nil
			},
		},
		{
			Key: "rd.live.overlay.cowfs", Form: "=ext4|xfs", Default: "ext4",
			Doc: "File system for rd.live.overlay.persistent.",
			set: oneOf("ext4", "xfs"),
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
			Key: "rd.liveboot.handoff", Form: "=auto|switch_root", Default: "auto",
			Doc: "How to give the machine to the live system.",
			set: func(p *Plan, w cmdline.Param) error {
				if w.Value == "kexec" {
					return errNotBuilt
				}
				return oneOf("auto", "switch_root")(p, w)
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
		"rd.kiwi.live.curl_options", "rd.kiwi.live.dolly_options", "rd.kiwi.live.reset", "rd.kiwi.live.pxe",
		"rd.live.cowfile.mbsize", "rd.live.cowfile.path", "iso-scan/filename",
		"rd.live.encrypt", "rd.live.check", "mediacheck", "rd.kiwi.verity_options",
		"rd.liveboot.key", "rd.liveboot.append", "rd.liveboot.report", "rd.liveboot.log", "rd.liveboot.dry-run",
		"rd.liveboot.stream", "rd.liveboot.chunks", "rd.liveboot.trace",
		"bootdev", "ifname", "rd.route", "vlan", "bond", "bridge", "team", "gateway", "netmask",
		"rd.net.dhcp.retry", "rd.net.timeout.ifup", "rd.net.timeout.route", "rd.net.timeout.ipv6dad", "rd.net.timeout.ipv6auto",
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
