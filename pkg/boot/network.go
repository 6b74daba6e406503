package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/clock"
	"github.com/liveboot/liveboot/pkg/fetch"
	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/handover"
	"github.com/liveboot/liveboot/pkg/network/netid"
	"github.com/liveboot/liveboot/pkg/network/reach"
	"github.com/liveboot/liveboot/pkg/network/rtnl"
	"github.com/liveboot/liveboot/pkg/plan"
)

// connect brings the network up, over the link from which one of the image's servers answers.
func (b *run) connect(ctx context.Context) (*network.Network, string, error) {
	env := b.Network
	env.Report = b.tell
	env.Clients = b.Clients(b.plan.Network.Timeouts.OrDefault(), b.previous.Addresses)
	name, err := namer(b.plan.Network.Naming, b.Sys)
	if err != nil {
		return nil, "", err
	}
	env.Name = name
	env.Reach = b.reach
	up, err := network.Up(ctx, b.plan.Network, env)
	if err != nil {
		return nil, "", err
	}
	b.network = up
	resolv := network.ResolvConf(up.Active())
	if err := b.writeFile("etc/resolv.conf", resolv); err != nil {
		return nil, "", err
	}
	primary := up.Primary()
	lease := primary.Leases[0]
	b.setClock(ctx, lease) // behind resolv.conf, which Go reads once and keeps for seconds
	b.report.Network = networkReport(primary)
	b.ui.Debugf("/etc/resolv.conf: %q, routes %v", resolv, lease.Routes)
	what := fmt.Sprintf("%s (%v) %v", primary.Link.Name, primary.Link.MAC, lease.Address)
	if lease.Server.IsValid() {
		what += fmt.Sprintf(" from %v", lease.Server)
	}
	if gateway := lease.Gateway(); gateway.IsValid() {
		what += fmt.Sprintf(", gateway %v", gateway)
	}
	return up, what, nil
}

// setClock corrects a clock that is wrong for certain. One that stays wrong is no reason to stop: without https it does not matter, and with it the
// certificate is judged later.
func (b *run) setClock(ctx context.Context, lease network.Lease) {
	built := imageOf(os.DirFS(b.Root)).Date
	if built.IsZero() {
		return
	}
	var servers []netip.Addr
	for _, a := range b.network.Active() {
		for _, lease := range a.Leases {
			servers = append(servers, lease.NTP...)
		}
	}
	urls, err := located(b.plan, lease)
	if err != nil {
		b.ui.Debugf("%v", err) // the download says it
	}
	adjustment, err := clock.Check(ctx, built, servers, webDate(b.plan.Image, urls), b.Clock)
	switch {
	case err != nil:
		b.ui.Warnf("%v", err)
	case adjustment.Made():
		b.ui.Warnf("%v", adjustment)
	}
}

// webDate asks the first of the image's web servers what time it is.
func webDate(image fetch.Source, urls []fetch.URL) clock.Date {
	for _, a := range urls {
		u, err := url.Parse(string(a))
		if err == nil && (u.Scheme == "http" || u.Scheme == "https") {
			return func(ctx context.Context) (time.Time, error) {
				return clock.HTTPDate(ctx, &http.Client{Transport: &http.Transport{Proxy: proxyOf(image, a)}}, u)
			}
		}
	}
	return nil
}

// proxyOf returns the proxy for u, if there is one.
func proxyOf(image fetch.Source, u fetch.URL) func(*http.Request) (*url.URL, error) {
	via := image.Server(u)
	if via == u {
		return nil
	}
	return func(*http.Request) (*url.URL, error) { return url.Parse(string(via)) }
}

// handOverNetwork leaves the network to the live system, with what its network manager needs to keep the machine reachable.
func (b *run) handOverNetwork() {
	b.network.Close()
	state := handover.State{Config: b.network.Config(), Active: b.network.Active(), Links: b.network.Links(), Metric: b.metric}
	files := handover.Files(state)
	lacking, err := handover.Root(os.DirFS(b.NewRoot).(fs.ReadLinkFS), state)
	if err != nil {
		b.ui.Warnf("%v", err)
	}
	for _, f := range append(files, lacking...) {
		folder := b.Root
		if !strings.HasPrefix(f.Path, "run/") {
			folder = b.NewRoot // /run itself goes over to the live system
		}
		if err := writeHandover(folder, f); err != nil {
			b.ui.Warnf("the live system has to find its network by itself: %v", err)
			continue
		}
		b.ui.Debugf("wrote /%s", f.Path)
	}
}

// metric is that of the routes that the kernel has from us.
func (b *run) metric(link network.Link, a netip.Addr) int {
	return rtnl.Metric(link, a, link.Index != b.network.Primary().Link.Index)
}

func writeHandover(folder string, f handover.File) error {
	path := filepath.Join(folder, f.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if f.OnlyIfMissing {
		flags |= os.O_EXCL
	}
	file, err := os.OpenFile(path, flags, f.Mode)
	if err != nil {
		return err
	}
	_, err = file.Write(f.Content)
	return errors.Join(err, file.Close())
}

// tell tells people what happens on the network.
func (b *run) tell(e network.Event) {
	switch {
	case e.Problem && e.Link == "":
		b.ui.Warnf("network: %s", e.Text)
	case e.Problem:
		b.ui.Warnf("%v", e)
	default:
		b.ui.Debugf("%v", e)
	}
}

// namer returns what names the cards. Only one can be lan0: the first that appears.
func namer(n network.Naming, sys fs.FS) (func(network.Link) (string, error), error) {
	policy := netid.Policy{Disabled: n.Kernel, Lan0: n.Lan0}
	if n.Scheme != "" {
		scheme, err := netid.ParseScheme(n.Scheme)
		if err != nil {
			return nil, err
		}
		policy.Scheme = scheme
	}
	for _, r := range n.Rules {
		mac, err := net.ParseMAC(r.MAC)
		if err != nil {
			return nil, err
		}
		policy.Rules = append(policy.Rules, netid.Rule{Name: r.Name, MAC: mac})
	}
	return func(l network.Link) (string, error) {
		name, err := policy.Name(sys, l.Name, l.MAC)
		if name == netid.Lan0 {
			policy.Lan0 = false
		}
		return name, err
	}, nil
}

// reach finds out whether one of the image's servers, or the proxy, answers over a link.
func (b *run) reach(ctx context.Context, link network.Link, lease network.Lease) error {
	urls, err := located(b.plan, lease)
	if err != nil {
		return err
	}
	if pushed(urls) {
		if !lease.Address.Addr().Is4() {
			return errRing
		}
		return nil
	}
	source := b.plan.Image
	source.URLs = urls
	return b.Reach(endpoints(source))(ctx, link, lease)
}

// located returns the addresses of the image. Of one that the line gives as a path only, the server is DHCP's: that in the root path
// (option 17), or that of the boot loader.
func located(p plan.Plan, lease network.Lease) ([]fetch.URL, error) {
	urls := slices.Clone(p.Image.URLs)
	for _, path := range p.Paths {
		server := fetch.URL(strings.TrimPrefix(lease.RootPath, "live:"))
		u, err := url.Parse(string(server))
		switch {
		case err == nil && fetch.Supported(server.Scheme()) && (u.Host != "" || server.Pushed()):
			if path != "" {
				u.Path, u.RawPath, u.RawQuery = path, "", ""
				server = fetch.URL(u.String())
			}
			urls = append(urls, server)
		case path == "":
			return nil, fmt.Errorf("root=live: names no image, and the root path of DHCP (option 17) is %q: want live:http://server/path/to.iso in one of them", fetch.URL(lease.RootPath).String())
		case lease.BootServer.IsValid():
			host := lease.BootServer.String()
			if lease.BootServer.Is6() {
				host = "[" + host + "]"
			}
			urls = append(urls, fetch.URL("http://"+host+path))
		default:
			return nil, fmt.Errorf("root=live:%s names no server, and DHCP gives neither a root path (option 17) nor a boot server", path)
		}
	}
	return urls, nil
}

// endpoints returns the servers of which one has to be reached: those of the image or, where there is a proxy before them, that.
func endpoints(image fetch.Source) []reach.Endpoint {
	var all []reach.Endpoint
	for _, a := range image.URLs {
		u, err := url.Parse(string(image.Server(a)))
		if err != nil {
			continue // fetch says what is wrong with it
		}
		e := reach.Endpoint{Host: u.Hostname(), Port: map[string]int{"http": 80, "https": 443, "ftp": 21, "ftps": 21, "tftp": 69, "socks5": 1080, "socks5h": 1080}[u.Scheme]}
		if port, err := strconv.Atoi(u.Port()); err == nil {
			e.Port = port
		}
		if u.Scheme == "tftp" {
			e.Request, e.Farewell = tftpQuestion(u.Path)
		}
		all = append(all, e)
	}
	return all
}

// tftpQuestion is a read request and the error that ends what follows, RFC 1350: TFTP has no other way to ask whether anybody is there.
func tftpQuestion(path string) (request, farewell []byte) {
	return slices.Concat([]byte{0, 1}, []byte(strings.TrimPrefix(path, "/")), []byte("\x00octet\x00")), []byte("\x00\x05\x00\x00never mind\x00")
}
