package daemon

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/liveboot/liveboot/pkg/fetch"
)

// Where Go's resolver looks before it asks a server, and which server that is, in the process's own root folder.
const (
	hostsFile  = "etc/hosts"
	resolvFile = "etc/resolv.conf"
)

// liveResolvers are the files in which network managers of a live system say which resolvers there are, without their own ones: those may
// need a file of the root that nobody can read at the moment. All are in /run, which the process shares with the live system.
func liveResolvers() []string {
	return []string{
		"run/systemd/resolve/resolv.conf", "run/NetworkManager/no-stub-resolv.conf", "run/NetworkManager/resolv.conf",
		"run/netconfig/resolv.conf", "run/resolvconf/resolv.conf", "run/connman/resolv.conf",
	}
}

const (
	// patience is for how long nothing may have come before it is thought that names have other addresses now, and rest the time from one
	// search for them to the next.
	patience = 15 * time.Second
	rest     = 20 * time.Second
	// stale is how long Go's resolver may go by what the files were, and answer how long a search waits for one.
	stale  = 6 * time.Second
	answer = 20 * time.Second
	// most is how many addresses of a name are kept, and longest how much of a file of resolvers is read, in bytes.
	most    = 8
	longest = 64 << 10
)

// names are those of the image's servers. Their addresses are kept, since those who know them may not be reachable from the live system's
// network; but where no server answers any more, somebody may have moved them, or the machine, and then they are looked up again.
type names struct {
	root      string
	hosts     []string     // to be looked up
	addresses []netip.Addr // that need not be
	hostsText string       // what the files were
	resolv    string
	lookup    func(ctx context.Context, host string) []netip.Addr

	mutex sync.Mutex
	known map[string][]netip.Addr // of hosts, the last ones first
}

// newNames looks the names up, and keeps what it finds. It fails nowhere: without an address that is kept, one is looked up.
func newNames(ctx context.Context, root string, s fetch.Source) *names {
	n := &names{root: root, lookup: lookUp, known: make(map[string][]netip.Addr)}
	hosts, _ := os.ReadFile(n.path(hostsFile)) // there need not be one
	resolv, _ := os.ReadFile(n.path(resolvFile))
	n.hostsText, n.resolv = string(hosts), string(resolv)
	for _, u := range append(s.URLs[:len(s.URLs):len(s.URLs)], s.Proxy) {
		parsed, err := url.Parse(string(u))
		if err != nil {
			continue
		}
		host := parsed.Hostname()
		if address, err := netip.ParseAddr(host); err == nil {
			n.addresses = append(n.addresses, address)
		} else if host != "" && !slices.Contains(n.hosts, host) {
			n.hosts = append(n.hosts, host)
		}
	}
	n.find(ctx)
	n.keep()
	return n
}

// lookUp asks as the files say.
func lookUp(ctx context.Context, host string) []netip.Addr {
	found, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	for i := range found {
		found[i] = found[i].Unmap()
	}
	return found
}

func (n *names) path(name string) string { return filepath.Join(n.root, name) }

// find looks the names up, and adds what it finds to what is known.
func (n *names) find(ctx context.Context) {
	for _, host := range n.hosts {
		found := n.lookup(ctx, host)
		n.mutex.Lock()
		for _, old := range n.known[host] {
			if !slices.Contains(found, old) {
				found = append(found, old)
			}
		}
		n.known[host] = found[:min(len(found), most)]
		n.mutex.Unlock()
	}
}

// keep has the known addresses used from now on.
func (n *names) keep() {
	text := n.hostsText + "\n"
	n.mutex.Lock()
	for _, host := range n.hosts {
		for _, address := range n.known[host] {
			text += fmt.Sprintf("%s %s\n", address, host)
		}
	}
	n.mutex.Unlock()
	n.write(text, n.resolv)
}

// write replaces the files, which are in memory: only a lack of it can go wrong, and then names are looked up.
func (n *names) write(hosts, resolv string) {
	_ = os.WriteFile(n.path(hostsFile), []byte(hosts), 0o644)
	_ = os.WriteFile(n.path(resolvFile), []byte(resolv), 0o644)
}

// all returns the addresses of servers that are known.
func (n *names) all() []netip.Addr {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	list := slices.Clone(n.addresses)
	for _, host := range n.hosts {
		list = append(list, n.known[host]...)
	}
	return list
}

// search looks the names up once more, with the live system's resolvers, where it names some, and with those of the boot, and then rests. While
// it asks, the kept addresses are not used. Afterwards those that it found are tried before them.
func (n *names) search(ctx context.Context) {
	if len(n.hosts) == 0 {
		return
	}
	for _, resolv := range []string{n.live(), n.resolv} {
		if resolv == "" {
			continue
		}
		n.write(n.hostsText, resolv)
		if sleep(ctx, stale) != nil {
			return
		}
		bounded, cancel := context.WithTimeout(ctx, answer)
		n.find(bounded)
		cancel()
	}
	n.keep()
	_ = sleep(ctx, rest) // what there is to do then is the caller's
}

// live returns the live system's resolvers, "" if it names none, or none but those of the boot.
func (n *names) live() string {
	for _, name := range liveResolvers() {
		f, err := os.Open(n.path(name))
		if err != nil {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(f, longest))
		_ = f.Close() // it was only read
		if found := resolvers(string(text)); err == nil && found != "" && found != resolvers(n.resolv) {
			return found
		}
	}
	return ""
}

// resolvers returns what of a resolv.conf(5) says whom to ask, "" if it names nobody. Options are left out, of which no-reload would be the
// last that is ever read.
func resolvers(text string) string {
	var kept strings.Builder
	some := false
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			some = true
		case "search", "domain":
		default:
			continue
		}
		kept.WriteString(strings.Join(fields, " ") + "\n")
	}
	if !some {
		return ""
	}
	return kept.String()
}
