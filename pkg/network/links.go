package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// linkState is what is known of a link, and what is done with it. Only run touches it.
type linkState struct {
	link     Link
	sessions []*session
	// asked are the interfaces of the Config that it is to serve; others means that the Config names other links only.
	asked  []Interface
	others bool
	// port names the bond or bridge that it was given to; parent says that VLANs are made on it.
	port   string
	parent bool
	// ours says that it was set up here.
	ours bool
	// carried says that it had carrier once.
	carried bool
	err     error
}

// observe takes note of a link's state and does what follows from it: a new link gets its name and is set up, on one with carrier the sessions
// begin.
func (n *Network) observe(ctx context.Context, link Link) {
	l := n.links[link.Index]
	first := l == nil
	if first {
		if link.Gone || link.Kind != "" && !n.configured(link.Name) {
			return
		}
		l = n.meet(link)
	}
	link.KernelName = l.link.KernelName
	returned := !l.link.Carrier && link.Carrier
	l.link = link
	if link.Gone {
		n.forget(l)
		return
	}
	if l.others || l.port == "" && link.Master != 0 {
		return // not ours: somebody else made it a part of something, a driver of a virtual card for example
	}
	n.prepare(l)
	if first && (len(l.asked) > 0 || l.port != "" || l.parent) {
		n.wait(forCarrier)
	}
	if !l.link.Up || !l.link.Carrier {
		for _, s := range l.sessions {
			s.carrierLost()
		}
		return
	}
	if !l.carried && len(l.asked) > 0 {
		// Each link gets the whole time: the one that matters may be the last to wake up.
		l.carried = true
		n.wait(forAddress)
	}
	n.begin(ctx, l, returned)
}

// meet gives a new link its name and finds out what is wanted of it.
func (n *Network) meet(link Link) *linkState {
	l := &linkState{link: link}
	n.links[link.Index] = l
	if link.Kind == "" && !link.Up && n.env.Name != nil {
		n.name(l)
	}
	for _, b := range n.config.Bonds {
		l.portOf(b.Name, b.Ports)
	}
	for _, b := range n.config.Bridges {
		l.portOf(b.Name, b.Ports)
	}
	for _, v := range n.config.VLANs {
		if v.Name != l.link.Name && v.Parent.Matches(l.link) && link.Kind != "vlan" {
			l.parent = true
		}
	}
	ignored := slices.ContainsFunc(n.config.Ignored, func(s Selector) bool { return s.Matches(l.link) })
	if l.port != "" || ignored {
		l.others = ignored
		return l
	}
	var all []Interface
	for _, i := range n.config.Interfaces {
		switch {
		case i.Link == (Selector{}):
			all = append(all, i)
		case i.Link.Matches(l.link) && (link.Kind != "vlan" || i.Link.Name != ""):
			// A VLAN has its parent's hardware address: who writes that means the card.
			l.asked = append(l.asked, i)
		}
	}
	if len(l.asked) == 0 && n.winner == nil {
		l.asked = all
	}
	l.others = len(l.asked) == 0 && !l.parent
	return l
}

func (l *linkState) portOf(master string, ports []Selector) {
	if l.link.Name == master || l.link.Kind == "vlan" && !slices.ContainsFunc(ports, func(s Selector) bool { return s.Name != "" }) {
		return
	}
	if slices.ContainsFunc(ports, func(s Selector) bool { return s.Matches(l.link) }) {
		l.port = master
	}
}

// name renames a link that has just appeared, before anybody uses it. A name that another link holds is left to that.
func (n *Network) name(l *linkState) {
	name, err := n.env.Name(l.link)
	if err != nil {
		n.env.Report(Event{l.link.Name, fmt.Sprintf("keeps the kernel's name: %v", err), true})
		return
	}
	if name == "" || name == l.link.Name {
		return
	}
	for _, other := range n.links {
		if other != l && other.link.Name == name && !other.link.Gone {
			n.env.Report(Event{l.link.Name, fmt.Sprintf("keeps the kernel's name: %s is the name of the link with the hardware address %v", name, other.link.MAC), true})
			return
		}
	}
	if err := n.env.Kernel.Change(l.link, Change{Name: name}); err != nil {
		n.env.Report(Event{l.link.Name, fmt.Sprintf("keeps the kernel's name: %v", err), true})
		return
	}
	n.env.Report(Event{Link: l.link.Name, Text: "renamed to " + name})
	// The kernel gives the name to the next card: only the first is known by it, and none where a rule gives the name.
	old := l.link.Name
	if !n.named[old] && !slices.ContainsFunc(n.config.Naming.Rules, func(r NameRule) bool { return r.Name == old }) {
		l.link.KernelName = old
	}
	n.named[old], l.link.Name = true, name
}

// prepare does what can be done to a link without carrier: VLANs on it, its place in a bond, and up.
func (n *Network) prepare(l *linkState) {
	if l.port != "" {
		if l.link.Master == 0 {
			l.err = n.env.Kernel.Join(l.link, l.port)
		}
		return
	}
	if !l.link.Up {
		n.prepareIPv6(l)
		change := Change{Up: true}
		for _, i := range l.asked {
			change.MTU = cmp.Or(i.MTU, change.MTU)
			if i.MAC != l.link.MAC.String() {
				change.MAC = cmp.Or(i.MAC, change.MAC)
			}
		}
		for _, b := range n.config.Bonds {
			if b.Name == l.link.Name {
				change.MTU = cmp.Or(change.MTU, b.MTU)
			}
		}
		l.err = n.env.Kernel.Change(l.link, change)
		l.ours = true
	}
	for _, v := range n.config.VLANs {
		if l.parent && !n.made[v.Name] && v.Name != l.link.Name && v.Parent.Matches(l.link) {
			n.made[v.Name] = true
			if err := n.env.Kernel.Make(v, l.link); err != nil {
				l.err = err
			}
		}
	}
}

// prepareIPv6 makes the link ready for IPv6, if it is to have any.
func (n *Network) prepareIPv6(l *linkState) {
	wanted := slices.ContainsFunc(l.asked, func(i Interface) bool {
		return i.Address.Addr().Is6() || slices.ContainsFunc(i.methods(), func(m Method) bool { return m != DHCP4 && m != Static })
	})
	if !wanted || n.env.Prepare == nil {
		return
	}
	if err := n.env.Prepare(l.link); err != nil {
		n.env.Report(Event{Link: l.link.Name, Text: err.Error()}) // the clients say it where it matters
	}
}

// begin starts what was asked of a link that has carrier, or tells what runs already that the carrier returned.
func (n *Network) begin(ctx context.Context, l *linkState, returned bool) {
	for _, i := range l.asked {
		for _, m := range i.methods() {
			at := slices.IndexFunc(l.sessions, func(s *session) bool { return s.method == m && s.asked.Link == i.Link && s.asked.Address == i.Address })
			switch {
			case at < 0:
				if n.winner == nil || i.Link != (Selector{}) {
					l.sessions = append(l.sessions, n.newSession(ctx, l, i, m, nil))
				}
			case l.sessions[at].stopped:
				l.sessions[at] = n.newSession(ctx, l, i, m, l.sessions[at].done)
			case returned:
				l.sessions[at].carrierReturned()
			}
		}
	}
}

// forget ends all on a link that was removed.
func (n *Network) forget(l *linkState) {
	for _, s := range l.sessions {
		s.drop()
		s.lease = nil
		if s == n.weak {
			n.weak = nil
		}
		if s == n.winner {
			// Another link, or this card when it is plugged in again, may take its place.
			n.winner = nil
			n.primary.Store(0)
		}
	}
	if l.parent || l.port != "" || len(l.sessions) > 0 {
		n.env.Report(Event{l.link.Name, "removed", true})
	}
	for _, v := range n.config.VLANs {
		if v.Parent.Matches(l.link) {
			delete(n.made, v.Name) // the kernel removes it with its parent
		}
	}
}

// configured reports whether the Config has a virtual link of that name.
func (n *Network) configured(name string) bool {
	return slices.ContainsFunc(n.config.VLANs, func(v VLAN) bool { return v.Name == name }) ||
		slices.ContainsFunc(n.config.Bonds, func(b Bond) bool { return b.Name == name }) ||
		slices.ContainsFunc(n.config.Bridges, func(b Bridge) bool { return b.Name == name })
}

// wait begins to wait for what comes next, or gives what is waited for already its whole time anew.
func (n *Network) wait(next waiting) {
	deadline := time.Now().Add(next.timeout(n.config.Timeouts))
	if next == forCarrier && n.waiting > forCarrier {
		return // a link that has carrier is waited for already
	}
	if next == forCarrier && n.linkEnd.After(deadline) && len(n.missing()) > 0 {
		deadline = n.linkEnd
	}
	if next > n.waiting && next < forAnswer || deadline.After(n.deadline) {
		n.deadline = deadline
	}
	n.waiting = max(next, n.waiting)
}

// waiting is what Up waits for.
type waiting int

const (
	forLink waiting = iota
	forCarrier
	forAddress
	forAnswer
)

// ErrNoAnswer is in the error of Up where links have addresses, but the image's host answers on none of them.
var ErrNoAnswer = errors.New("no answer from the image's host")

// missed is the error when it did not come.
func (w waiting) missed() error {
	return []error{errors.New("no link"), errors.New("no carrier"), errors.New("no address"), ErrNoAnswer}[w]
}

func (w waiting) timeout(t Timeouts) time.Duration {
	return []time.Duration{t.Link, t.Carrier, t.Lease, t.Answer}[w]
}

// failure says what was missing and how far each link got.
func (n *Network) failure(what error) error {
	var wanted, others []*linkState
	for _, l := range n.links {
		if l.others {
			others = append(others, l)
		} else {
			wanted = append(wanted, l)
		}
	}
	byName := func(a, b *linkState) int { return strings.Compare(a.link.Name, b.link.Name) }
	slices.SortFunc(wanted, byName)
	slices.SortFunc(others, byName)
	lines := stories(wanted)
	missing := n.missing()
	switch {
	case len(missing) > 0:
		names := make([]string, len(others))
		for i, l := range others {
			names[i] = fmt.Sprintf("%s (%v)", l.link.Name, l.link.MAC)
		}
		lines = append(lines, fmt.Sprintf("there is no link %s, but these: %s", strings.Join(missing, ", "), cmp.Or(strings.Join(names, ", "), "none besides")))
	case len(lines) == 0:
		lines = append(lines, "the kernel found no network card")
	}
	return fmt.Errorf("%w: %s", what, strings.Join(lines, "; "))
}

// stories tells what happened on the links, those with the same story together: most of sixteen have no cable.
func stories(links []*linkState) []string {
	var order []string
	names := make(map[string][]string)
	for _, l := range links {
		story := l.story()
		if names[story] == nil {
			order = append(order, story)
		}
		names[story] = append(names[story], fmt.Sprintf("%s (%v)", l.link.Name, l.link.MAC))
	}
	for i, story := range order {
		order[i] = strings.Join(names[story], ", ") + ": " + story
	}
	return order
}

// missing returns the links that were asked for and are not there.
func (n *Network) missing() []string {
	var asked []Selector
	for _, i := range n.config.Interfaces {
		asked = append(asked, i.Link)
	}
	for _, v := range n.config.VLANs {
		asked = append(asked, v.Parent)
	}
	for _, b := range n.config.Bonds {
		asked = append(asked, b.Ports...)
	}
	for _, b := range n.config.Bridges {
		asked = append(asked, b.Ports...)
	}
	var names []string
	for _, s := range append(asked, n.config.Boot) {
		there := s == (Selector{}) || slices.Contains(names, s.String())
		for _, l := range n.links {
			there = there || !l.link.Gone && s.Matches(l.link)
		}
		if !there {
			names = append(names, s.String())
		}
	}
	return names
}

func (l *linkState) story() string {
	switch {
	case l.link.Gone:
		return "removed"
	case l.err != nil:
		return l.err.Error()
	case l.port != "":
		return "part of " + l.port + l.noCarrier()
	case len(l.asked) == 0:
		return "carries a VLAN" + l.noCarrier()
	case !l.link.Carrier && len(l.sessions) == 0:
		return "no carrier (cable, switch port)"
	}
	stories := make([]string, len(l.sessions))
	for i, s := range l.sessions {
		stories[i] = s.story()
	}
	if !l.link.Carrier {
		stories = append(stories, "no carrier now (cable, switch port)")
	}
	return strings.Join(stories, ", ")
}

func (l *linkState) noCarrier() string {
	if l.link.Carrier {
		return ""
	}
	return ", no carrier (cable, switch port)"
}
