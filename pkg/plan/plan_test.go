package plan

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/liveboot/liveboot/pkg/cmdline"
	"github.com/liveboot/liveboot/pkg/console"
	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/kernel/power"
	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/overlay"
)

const sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// with returns the plan of "root=live:http://h/i" after changes.
func with(change func(*Plan)) Plan {
	p := Default()
	p.Image.URLs = []fetch.URL{"http://h/i"}
	change(&p)
	return p
}

// dhcp is what ip=<link>:dhcp asks for.
func dhcp(link string) network.Interface {
	return network.Interface{Link: network.ParseSelector(link), Methods: []network.Method{network.DHCP4}}
}

// static is what ip=192.0.2.5::192.0.2.1:24 asks for.
func static() network.Interface {
	return network.Interface{
		Methods: []network.Method{network.Static}, Address: netip.MustParsePrefix("192.0.2.5/24"), Gateway: netip.MustParseAddr("192.0.2.1"),
	}
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   string // besides root=live:http://h/i, unless it has a root= itself
		want Plan
	}{
		{"only the image", "", with(func(*Plan) {})},
		{"the documented line", "ip=dhcp rd.kiwi.live.system=/dev/ram0 rd.neednet=1", with(func(p *Plan) { p.Network.Interfaces = []network.Interface{dhcp("")} })},
		{"without live:", "root=http://h/i", with(func(*Plan) {})},
		{"query with &", "root=live:http://h/i?a=b&c=d", with(func(p *Plan) { p.Image.URLs = []fetch.URL{"http://h/i?a=b&c=d"} })},
		{"mirrors, repeated", "root=live:http://h/i root=live:https://g/i", with(func(p *Plan) { p.Image.URLs = []fetch.URL{"http://h/i", "https://g/i"} })},
		{"mirrors, in a list", `root="live:http://h/i live:https://g/i"`, with(func(p *Plan) { p.Image.URLs = []fetch.URL{"http://h/i", "https://g/i"} })},
		{"digest in the URL", "root=live:http://h/i#sha256=" + sha256, with(func(p *Plan) { p.Image.Digest = fetch.Digest{Algorithm: "sha256", Hex: sha256} })},
		{"digest in front of the image", "rd.liveboot.sha256=" + sha256 + " root=live:http://h/i", with(func(p *Plan) { p.Image.Digest = fetch.Digest{Algorithm: "sha256", Hex: sha256} })},
		{"the same digest twice", "root=live:http://h/i#sha256=" + sha256 + " rd.liveboot.sha256=" + strings.ToUpper(sha256), with(func(p *Plan) { p.Image.Digest = fetch.Digest{Algorithm: "sha256", Hex: sha256} })},
		{"other protocols", "root=live:ftp://h/i.xz root=live:tftp://h/i", with(func(p *Plan) { p.Image.URLs = []fetch.URL{"ftp://h/i.xz", "tftp://h/i"} })},
		{"filled in later", "root=live:http://h/${arch}/${mac}.iso", with(func(p *Plan) { p.Image.URLs = []fetch.URL{"http://h/${arch}/${mac}.iso"} })},
		{"the server is DHCP's", "root=live:/images/i.iso", with(func(p *Plan) { p.Image.URLs, p.Paths = nil, []string{"/images/i.iso"} })},
		{"all is DHCP's", "root=live:", with(func(p *Plan) { p.Image.URLs, p.Paths = nil, []string{""} })},
		{"a ring", "root=live:dolly://h/i", with(func(p *Plan) { p.Image.URLs = []fetch.URL{"dolly://h/i"} })},
		{"a ring with a mirror to turn to", "root=live:dolly:// root=live:http://h/i", with(func(p *Plan) {
			p.Image.URLs = []fetch.URL{"dolly://", "http://h/i"}
			p.Image.Dolly.Wait = 2 * time.Minute
		})},
		{"a ring without a server's name, and its options", "root=live:dolly:// rd.kiwi.live.dolly_options=-v,-P,pw,-a,60", with(func(p *Plan) {
			p.Image.URLs = []fetch.URL{"dolly://"}
			p.Image.Dolly = fetch.DollyOptions{Verbose: true, Password: "pw", Wait: time.Minute}
		})},
		{"curl's options", "rd.kiwi.live.curl_options=-k,--connect-timeout,7,-u,user:pw", with(func(p *Plan) {
			p.Image.Insecure, p.Image.ConnectTimeout, p.Image.User = true, 7*time.Second, "user:pw"
		})},
		{"connections", "rd.liveboot.connections=4", with(func(p *Plan) { p.Image.Connections = 4 })},
		{"key", "rd.liveboot.key=/etc/key.pub", with(func(p *Plan) { p.Key = "/etc/key.pub" })},
		{"last one wins", "ramdisk_size=1 ramdisk_size=4096", with(func(p *Plan) { p.Target.RAMDiskSize = 4096 << 10 })},
		{"one interface", "ip=enp3s0:dhcp", with(func(p *Plan) { p.Network.Interfaces = []network.Interface{dhcp("enp3s0")} })},
		{"one interface by address", "ip=52-54-00-AB-cd-ef:dhcp", with(func(p *Plan) { p.Network.Interfaces = []network.Interface{dhcp("52-54-00-ab-cd-ef")} })},
		{"BOOTIF", "BOOTIF=01-52-54-00-ab-cd-ef", with(func(p *Plan) {
			p.Network.Interfaces = []network.Interface{{Link: network.ParseSelector("52-54-00-ab-cd-ef")}}
		})},
		{"BOOTIF is for what names no interface", "BOOTIF=01-52-54-00-ab-cd-ef ip=dhcp ip=eth1:dhcp", with(func(p *Plan) {
			p.Network.Interfaces = []network.Interface{dhcp("52-54-00-ab-cd-ef"), dhcp("eth1")}
		})},
		{"ip= goes before BOOTIF", "BOOTIF=01-52-54-00-ab-cd-ef ip=eth1:dhcp", with(func(p *Plan) { p.Network.Interfaces = []network.Interface{dhcp("eth1")} })},
		{"BOOTIF below a VLAN says nothing", "BOOTIF=01-52-54-00-ab-cd-ef ip=dhcp vlan=vlan5:eth0", with(func(p *Plan) {
			p.Network.Interfaces = []network.Interface{dhcp("")}
			p.Network.VLANs = []network.VLAN{{Name: "vlan5", Parent: network.Selector{Name: "eth0"}, ID: 5}}
		})},
		{"two interfaces", "ip=eth0:dhcp ip=eth1:dhcp,dhcp6 bootdev=eth1", with(func(p *Plan) {
			second := dhcp("eth1")
			second.Methods = append(second.Methods, network.DHCP6)
			p.Network.Interfaces, p.Network.Boot = []network.Interface{dhcp("eth0"), second}, network.Selector{Name: "eth1"}
		})},
		{"one interface left alone", "ip=eth1:off", with(func(p *Plan) { p.Network.Ignored = []network.Selector{{Name: "eth1"}} })},
		{"PXELINUX", "ip=192.0.2.5:192.0.2.9:192.0.2.1:255.255.255.0 BOOTIF=01-52-54-00-ab-cd-ef", with(func(p *Plan) {
			i := static()
			i.BootServer, i.Link = netip.MustParseAddr("192.0.2.9"), network.ParseSelector("52-54-00-ab-cd-ef")
			p.Network.Interfaces = []network.Interface{i}
		})},
		{"Anaconda", "ip=192.0.2.5 netmask=255.255.255.0 gateway=192.0.2.1 hostname=lab7", with(func(p *Plan) {
			i := static()
			i.Hostname, p.Network.Hostname = "lab7", "lab7"
			p.Network.Interfaces = []network.Interface{i}
		})},
		{"gateway without an address", "gateway=192.0.2.1", with(func(p *Plan) {
			p.Warnings = []string{"gateway= and netmask= have no effect: there is no ip=<address> that they belong to"}
		})},
		{"names", "ifname=lan:52-54-00-ab-cd-ef net.ifnames=0 net.naming-scheme=v255 rd.kiwi.live.pxe", with(func(p *Plan) {
			p.Network.Naming = network.Naming{Kernel: true, Scheme: "v255", Lan0: true, Rules: []network.NameRule{{Name: "lan", MAC: "52:54:00:ab:cd:ef"}}}
		})},
		{"links of links", "bond=bond0:eth0,eth1:mode=active-backup,miimon=100 bridge=br0:eth2 rd.route=198.51.100.0/24:192.0.2.1:br0", with(func(p *Plan) {
			p.Network.Bonds = []network.Bond{{Name: "bond0", Ports: []network.Selector{{Name: "eth0"}, {Name: "eth1"}}, Options: []network.BondOption{{Name: "mode", Value: "active-backup"}, {Name: "miimon", Value: "100"}}}}
			p.Network.Bridges = []network.Bridge{{Name: "br0", Ports: []network.Selector{{Name: "eth2"}}}}
			p.Network.Routes = []network.StaticRoute{{
				Route: network.Route{Destination: netip.MustParsePrefix("198.51.100.0/24"), Gateway: netip.MustParseAddr("192.0.2.1")}, Link: network.Selector{Name: "br0"},
			}}
		})},
		{"BOOTIF ignored", "rd.bootif=0 BOOTIF=01-52-54-00-ab-cd-ef", with(func(*Plan) {})},
		{"debug taken back", "rd.debug rd.debug=0", with(func(*Plan) {})},
		{"proxy as curl takes it", "proxy=p:3128", with(func(p *Plan) { p.Image.Proxy = "http://p:3128" })},
		{"module options", "e1000e.IntMode=1 nvme_core.io_timeout=255 e1000e.debug rd.md=0 systemd.unit=a.b", with(func(p *Plan) {
			p.Devices.Parameters = map[string]string{"e1000e": "IntMode=1 debug", "nvme_core": "io_timeout=255", "systemd": "unit=a.b"}
		})},
		{"resolvers", "nameserver=10.0.0.1 nameserver=[2001:db8::1] rd.peerdns=0", with(func(p *Plan) {
			p.Network.Resolvers = []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")}
			p.Network.IgnorePeerDNS = true
		})},
		{"network time-outs", "rd.net.timeout.dhcp=7 rd.net.timeout.carrier=8 rd.net.timeout.iflink=9 rd.net.timeout.route=6 rd.net.timeout.ipv6auto=5 rd.net.timeout.ipv6dad=4 rd.net.timeout.ifup=3 rd.net.dhcp.retry=3", with(func(p *Plan) {
			p.Network.Timeouts = network.Timeouts{
				Link: 9 * time.Second, Carrier: 8 * time.Second, Lease: 21 * time.Second, Answer: 6 * time.Second, Router: 5 * time.Second, Duplicate: 4 * time.Second,
			}
		})},
		{"https without verification, by a proxy", "rd.noverifyssl proxy=http://p:3128", with(func(p *Plan) {
			p.Image.Insecure, p.Image.Proxy = true, "http://p:3128"
		})},
		{"the live system's places", "rd.live.dir=os rd.live.squashimg=root.erofs rootflags=noatime init=/bin/x", with(func(p *Plan) {
			p.Live.Dir, p.Live.Container, p.Overlay.Options, p.Handoff.Init = "os", "root.erofs", "noatime", "/bin/x"
		})},
		{"live_dir", "live_dir=os", with(func(p *Plan) { p.Live.Dir = "os" })},
		{"overlay size", "rd.live.overlay.size=75%", with(func(p *Plan) { p.Overlay.Size = "75%" })},
		{"overlay size that means MiB to dracut", "rd.live.overlay.size=512", with(func(p *Plan) {
			p.Overlay.Size = "512"
			p.Warnings = []string{"rd.live.overlay.size=512 means 512 bytes; for MiB write 512m"}
		})},
		{"persistent in memory", "rd.live.overlay.persistent rd.kiwi.live.reset", with(func(p *Plan) {
			p.Warnings = []string{
				"rd.live.overlay.persistent has no effect: the image is in memory (/dev/ram0), and so is what is written",
				"rd.kiwi.live.reset has no effect: there is no disk in rd.kiwi.live.system=",
			}
		})},
		{"persistent disk", "rd.kiwi.live.system=/dev/sda rd.live.overlay.persistent rd.live.overlay.cowfs=xfs", with(func(p *Plan) {
			p.Target.Device = "/dev/sda"
			p.Overlay.Persistence, p.Overlay.FileSystem = overlay.Persistent, "xfs"
		})},
		{"disk by another name, overwritten, persistent if possible", "rd.kiwi.live.system=/dev/disk/by-id/ata-X rd.kiwi.live.reset rd.live.overlay.persistent=auto", with(func(p *Plan) {
			p.Target.Device, p.Target.Reset = "/dev/disk/by-id/ata-X", true
			p.Overlay.Persistence = overlay.PersistentIfPossible
		})},
		{"not persistent", "rd.live.overlay.persistent=no", with(func(*Plan) {})},
		{"local image", `root="live:CDLABEL=My CD" rd.live.overlay.persistent`, func() Plan {
			p := Default()
			p.Local.Device, p.Overlay.Persistence = "CDLABEL=My CD", overlay.Persistent
			return p
		}()},
		{"local image behind the network", "root=live:AOEINTERFACE=e0.1", func() Plan {
			p := Default()
			p.Local.Device, p.Local.AoE = "/dev/etherd/e0.1", true
			return p
		}()},
		{"ISO in a file", "root=live:CDLABEL=X iso-scan/filename=/boot/x.iso rd.live.cowfile.path=/x.cow rd.live.cowfile.mbsize=64", func() Plan {
			p := Default()
			p.Local = Local{Device: "CDLABEL=X", File: "/boot/x.iso", LayerFile: "/x.cow", LayerSize: 64 << 20}
			return p
		}()},
		{"streamed", "root=live:nbd:http://h/i", with(func(p *Plan) { p.Stream.Mode = StreamOn })},
		{"streamed, but not now", "root=live:nbd:http://h/i rd.liveboot.stream=off", with(func(*Plan) {})},
		{"stream", "rd.liveboot.stream=auto rd.liveboot.stream-rate=1.5M rd.liveboot.mismatch=reboot", with(func(p *Plan) {
			p.Stream = Stream{Mode: StreamAuto, Rate: 3 << 19, Reboot: true}
		})},
		{"stream of what is here", "root=live:CDLABEL=X rd.liveboot.stream=on", func() Plan {
			p := Default()
			p.Local.Device = "CDLABEL=X"
			p.Warnings = []string{"rd.liveboot.stream has no effect: root= names an image that is here already"}
			return p
		}()},
		{"stream and media check", "rd.liveboot.stream=on rd.live.check", with(func(p *Plan) {
			p.MediaCheck = true
			p.Warnings = []string{"rd.liveboot.stream has no effect: rd.live.check reads all of the image before it is used"}
		})},
		{"drivers", "rd.driver.blacklist=a,b module_blacklist=c rd.driver.pre=d", with(func(p *Plan) {
			p.Devices.Blacklist, p.Devices.First = []string{"a", "b", "c"}, []string{"d"}
		})},
		{"shell at once", "rd.shell", with(func(p *Plan) { p.Rescue.Shell = ShellAtOnce })},
		{"shell never", "rd.shell=0 rd.emergency=poweroff", with(func(p *Plan) { p.Rescue.Shell, p.Rescue.Action = ShellNever, power.PowerOff })},
		{"panic", "panic=3", with(func(p *Plan) { p.Rescue.Delay, p.Rescue.Jitter = 3*time.Second, 0 })},
		{"panic=0 waits for ever", "panic=0", with(func(p *Plan) { p.Rescue.Delay, p.Rescue.Jitter = -1, 0 })},
		{"panic=-1 reboots at once", "panic=-1", with(func(p *Plan) { p.Rescue.Delay, p.Rescue.Jitter = 0, 0 })},
		{"break", "rd.break rd.break=mount rd.break=network", with(func(p *Plan) { p.Break = []Stage{Handoff, Live, Network} })},
		{"debug goes before quiet", "rd.debug quiet", with(func(p *Plan) { p.Verbosity = console.Debug })},
		{"quiet", "quiet", with(func(p *Plan) { p.Verbosity = console.Quiet })},
		{"what is not ours", "rw splash rd.md=0 a.b.c=1", with(func(*Plan) {})},
		{"a known family's unknown option", "rd.kiwi.live.sytem=/dev/sda rd.live.overlay.sise=1", with(func(p *Plan) {
			p.Warnings = []string{
				"unknown option rd.kiwi.live.sytem is ignored: did you mean rd.kiwi.live.system?",
				"unknown option rd.live.overlay.sise is ignored: did you mean rd.live.overlay.size?",
			}
		})},
		{"an option that is not built, switched off", "rd.kiwi.verity_options=0 rd.live.encrypt=no", with(func(*Plan) {})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			line := tt.in
			if !strings.Contains(line, "root=") {
				line = "root=live:http://h/i " + line
			}
			got, err := Parse(cmdline.Parse(line))
			if err != nil {
				t.Fatalf("Parse(%q): %v", line, err)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmp.AllowUnexported(Plan{}, reading{}, networkReading{})); diff != "" {
				t.Errorf("Parse(%q) (-want +got):\n%s", line, diff)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	const image = "root=live:http://h/i "
	for _, tt := range []struct{ name, in, want string }{
		{"no image", "quiet", "no image: add root=live:http://"},
		{"mistyped verification", image + "rd.liveboot.sha265=00", "unknown option rd.liveboot.sha265: did you mean rd.liveboot.sha256?"},
		{"no connection", image + "rd.liveboot.connections=0", "want a number from 1 to 8"},
		{"too many connections", image + "rd.liveboot.connections=9", "want a number from 1 to 8"},
		{"bad digest", image + "rd.liveboot.sha256=00", "has 2 hexadecimal digits, want 64"},
		{"two digests", image + "rd.liveboot.sha256=" + sha256 + " rd.liveboot.sha256=" + strings.Repeat("0", 64), "two digests for one image"},
		{"bad fragment", "root=live:http://h/i#part", "want #sha256=<hex>"},
		{"disk without a path", image + "rd.kiwi.live.system=sda", "want /dev/ram0 or a disk: /dev/sda"},
		{"another RAM disk", image + "rd.kiwi.live.system=/dev/ram1", "want /dev/ram0 or a disk: /dev/sda"},
		{"disk without a name", image + "rd.kiwi.live.system=LABEL=", "want /dev/ram0 or a disk: /dev/sda"},
		{"no network", image + "ip=off", "this leaves no network"},
		{"no such method", image + "ip=eth0:dchp", `"dchp"`},
		{"retries", image + "rd.net.dhcp.retry=0", "want a number from 1"},
		{"naming scheme", image + "net.naming-scheme=v1", "v1"},
		{"VLAN without a number", image + "vlan=lan:eth0", "lan"},
		{"not built: encryption", image + "rd.live.encrypt", "cannot do it yet"},
		{"media check of a disk", image + "rd.live.check rd.kiwi.live.system=/dev/sda", "rd.liveboot.sha256="},
		{"handoff", image + "rd.liveboot.handoff=jump", "want one of auto, switch_root, kexec"},
		{"options of something else", image + "rd.liveboot.append=grub", "want one of iso"},
		{"dolly's option", "root=live:dolly://h/i rd.kiwi.live.dolly_options=-H,other", "-H is an option of dolly's server"},
		{"image from two places", image + "root=live:/dev/sr0", "take one of them off the line"},
		{"local image and a disk for one", "root=live:CDLABEL=X rd.kiwi.live.system=/dev/sda", "take one of them off the line"},
		{"local image without a name", "root=live:CDLABEL=", "no image"},
		{"path of a file", image + "iso-scan/filename=x.iso", "from the /"},
		{"template", "root=live:http://h/${mca}.iso", "${mca}"},
		{"curl's option", image + "rd.kiwi.live.curl_options=--insecrue", "--insecrue"},
		{"unknown scheme", "root=live:gopher://h/i", `begins with "gopher:"`},
		{"nothing", "root=", "want live:http://"},
		{"another kind of root", "root=sda1", "names no server"},
		{"empty root", "root=", "want live:http://"},
		{"ram disk size", image + "ramdisk_size=2g", "want the size in KiB"},
		{"overlay size", image + "rd.live.overlay.size=2q", "want bytes, or a number with"},
		{"overlay size with more options", image + "rd.live.overlay.size=2g,exec", "want bytes, or a number with"},
		{"cow file system", image + "rd.live.overlay.cowfs=btrfs", "want one of ext4, xfs"},
		{"emergency", image + "rd.emergency=explode", "want one of reboot, poweroff, halt"},
		{"stage", image + "rd.break=nowhere", "want one of devices, network"},
		{"time-out", image + "rd.net.timeout.dhcp=soon", "want a number of seconds"},
		{"resolver", image + "nameserver=ns.example.org", `"ns.example.org"`},
		{"BOOTIF", image + "BOOTIF=52-54", `"52-54"`},
		{"init", image + "init=bin/sh", "want an absolute path"},
		{"secrets stay secret", "root=live:gopher://user:secret@h/i?token=secret", "gopher"},
		{"secrets in a list", `root="live:http://u:secret@h/i live:nbd://u:secret@g/i"`, "nbd: stands before"},
		{"secrets behind two schemes", "root=live:nbd:gopher://u:secret@h/i", "nbd: stands before"},
		{"stream", image + "rd.liveboot.stream=yes", "want one of off, auto, on, lazy"},
		{"never the whole image, and a disk for it", image + "rd.liveboot.stream=lazy rd.kiwi.live.system=/dev/sda", "rd.liveboot.stream=on"},
		{"never the whole image, and its digest", image + "rd.liveboot.stream=lazy rd.liveboot.sha256=" + sha256, "mkinitramfs -manifest"},
		{"chunks of what is not streamed", image + "rd.liveboot.chunks=sha256:" + sha256, "add rd.liveboot.stream=on"},
		{"two roots of chunks", image + "rd.liveboot.stream=on rd.liveboot.chunks=sha256:" + sha256 + " rd.liveboot.chunks=sha256:" + strings.Repeat("1", 64), "stands on the line twice"},
		{"root of chunks", image + "rd.liveboot.chunks=" + sha256, "want sha256: and 64 hexadecimal digits"},
		{"rate", image + "rd.liveboot.stream-rate=fast", "want bytes per second"},
		{"mismatch", image + "rd.liveboot.mismatch=ignore", "want one of warn, reboot"},
		{"secrets in curl's options", image + "rd.kiwi.live.curl_options=-u,user:secret,--nothing", "option rd.kiwi.live.curl_options: "},
		{"secrets in dolly's options", "root=live:dolly://h/i rd.kiwi.live.dolly_options=-P,secret,-zsecret", `option rd.kiwi.live.dolly_options: "-z"`},
		{"secrets of a proxy", image + "proxy=http://u:secret@/", "names no server"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(cmdline.Parse(tt.in))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse(%q) = %v, want an error with %q", tt.in, err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("Parse(%q) = %v, which shows a secret", tt.in, err)
			}
		})
	}
}

// TestBakedIn: what was typed for this boot replaces what a site baked into its image.
func TestBakedIn(t *testing.T) {
	sum := func(digit string) string { return strings.Repeat(digit, 64) }
	for _, tt := range []struct {
		name, baked, typed string
		urls               []fetch.URL
		digest             string
	}{
		{"image", "root=live:http://baked/i", "root=live:http://typed/i root=live:http://typed/j", []fetch.URL{"http://typed/i", "http://typed/j"}, ""},
		{"image with its digest", "root=live:http://baked/i#sha256=" + sum("1"), "root=live:http://typed/i", []fetch.URL{"http://typed/i"}, ""},
		{"digest only", "root=live:http://baked/i rd.liveboot.sha256=" + sum("1"), "rd.liveboot.sha256=" + sum("2"), []fetch.URL{"http://baked/i"}, sum("2")},
		{"nothing", "root=live:http://baked/i rd.liveboot.sha256=" + sum("1"), "quiet", []fetch.URL{"http://baked/i"}, sum("1")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			line, err := cmdline.Load(fstest.MapFS{"etc/cmdline": {Data: []byte(tt.baked)}, "proc/cmdline": {Data: []byte(tt.typed)}})
			if err != nil {
				t.Fatal(err)
			}
			p, err := Parse(line)
			if diff := cmp.Diff(tt.urls, p.Image.URLs); diff != "" || err != nil || p.Image.Digest.Hex != tt.digest {
				t.Errorf("Parse: digest %q, error %v, URLs (-want +got):\n%s", p.Image.Digest.Hex, err, diff)
			}
		})
	}
}

// TestParseErrorsJoined: all mistakes are named at once, and what was to happen after a failure is still known.
func TestParseErrorsJoined(t *testing.T) {
	p, err := Parse(cmdline.Parse("rd.emergency=halt ramdisk_size=x ip=dhcp7 quiet"))
	for _, want := range []string{"ramdisk_size", "ip=dhcp7", "no image"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse = %v, want an error that names %s", err, want)
		}
	}
	if p.Rescue.Action != power.Halt || p.Verbosity != console.Quiet {
		t.Errorf("Parse = %+v, want the rescue and the verbosity of the line", p)
	}
}

// TestParameters walks the rows: each is documented or refuses to work, and no key stands twice.
func TestParameters(t *testing.T) {
	seen := make(map[string]bool)
	for _, row := range Parameters() {
		for _, key := range append([]string{row.Key}, row.Aliases...) {
			if seen[key] {
				t.Errorf("the key %s has two rows", key)
			}
			seen[key] = true
		}
		if row.Built() {
			continue
		}
		if _, err := Parse(cmdline.Parse("root=live:http://h/i " + row.Key + "=1")); err == nil {
			t.Errorf("%s is not built and not refused", row.Key)
		}
	}
}

// TestFieldsReached: every built row changes the plan, or stands here with the reason why it does not.
func TestFieldsReached(t *testing.T) {
	none := map[string]string{
		"rd.neednet":          "not needed",
		"rd.live.image":       "not needed",
		"rd.bootif":           "belongs to BOOTIF",
		"rd.net.timeout.ifup": "not needed",
	}
	value := map[string]string{
		"root": "live:http://h/j", "rd.liveboot.sha256": sha256, "rd.liveboot.sha512": sha256 + sha256, "rd.liveboot.connections": "4", "ramdisk_size": "4096",
		"rd.kiwi.live.system": "/dev/sda", "ip": "eth7:dhcp", "BOOTIF": "01-02-03-04-05-06-07", "nameserver": "1.2.3.4", "rd.peerdns": "0",
		"gateway": "192.0.2.1", "netmask": "24", "rd.route": "198.51.100.0/24:192.0.2.1", "ifname": "lan:02:03:04:05:06:07", "net.ifnames": "0",
		"net.naming-scheme": "v255", "vlan": "vlan5:eth0", "bond": "bond0", "team": "team0:eth0", "bridge": "br0:eth0", "rd.net.dhcp.retry": "2",
		"rd.net.timeout.iflink": "1", "rd.net.timeout.carrier": "1", "rd.net.timeout.dhcp": "1", "rd.net.timeout.route": "1",
		"rd.net.timeout.ipv6auto": "1", "rd.net.timeout.ipv6dad": "1", "rd.net.timeout.ifup": "1", "proxy": "http://p",
		"rd.live.overlay.persistent": "auto", "iso-scan/filename": "/x.iso", "rd.live.cowfile.mbsize": "7", "rd.live.overlay.size": "1m", "rd.live.overlay.cowfs": "xfs", "init": "/x", "rd.liveboot.handoff": "kexec", "rd.liveboot.append": "iso",
		"rd.liveboot.stream": "auto", "rd.liveboot.chunks": "sha256:" + sha256, "rd.liveboot.stream-rate": "2M", "rd.liveboot.mismatch": "reboot",
		"rd.kiwi.live.curl_options": "-k", "rd.kiwi.live.dolly_options": "-v", "rd.emergency": "halt", "panic": "1", "rd.break": "live", "rd.neednet": "1",
	}
	for _, row := range Parameters() {
		if !row.Built() {
			continue
		}
		line := cmdline.Parse("root=live:http://h/i")
		switch row.Key {
		case "iso-scan/filename":
			line = cmdline.Parse("root=live:CDLABEL=X")
		case "rd.liveboot.chunks":
			line = cmdline.Parse("root=live:nbd:http://h/i")
		}
		base, err := Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		word := cmdline.Param{Key: row.Key, Value: value[row.Key], HasValue: value[row.Key] != ""}
		if row.Form != "" && !word.HasValue {
			word = cmdline.Param{Key: row.Key, Value: "x", HasValue: true}
		}
		p, err := Parse(append(line, word))
		if err != nil {
			t.Errorf("Parse(%v): %v", word, err)
			continue
		}
		if changed := !reflect.DeepEqual(p, base); changed == (none[row.Key] != "") {
			t.Errorf("Parse(%v) changed the plan: %v, want %v", word, changed, !changed)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("root=live:http://u:p@h/i#sha256=00 ip=eth0:dhcp rd.break=x panic=99999999999")
	for _, row := range Parameters() {
		f.Add("root=live:http://h/i " + row.Key + row.Form)
	}
	f.Fuzz(func(t *testing.T, line string) {
		p, err := Parse(cmdline.Parse(line))
		if err == nil && len(p.Image.URLs) == 0 {
			t.Errorf("Parse(%q) is a plan without an image", line)
		}
	})
}
