package rtnl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
)

// Watch sends the Ethernet cards and the VLANs, bonds and bridges that there are, and then their changes. KernelName is left empty: a link
// does not know the name that it had.
//
// The kernel drops news that are not fetched in time, and says so; then all links are looked at again, and those that went meanwhile are sent as
// gone.
func (s *System) Watch(ctx context.Context) (<-chan network.Link, error) {
	socket, err := subscribe()
	if err != nil {
		return nil, err
	}
	w := &watcher{known: map[int]network.Link{}, links: make(chan network.Link)}
	first, err := list()
	if err != nil {
		socket.Close()
		return nil, err
	}
	go w.run(ctx, socket, first)
	return w.links, nil
}

func subscribe() (*nl.NetlinkSocket, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		return nil, fmt.Errorf("watch links: %w", err)
	}
	return socket, nil
}

// list returns the links that there are.
func list() ([]network.Link, error) {
	all, err := netlink.LinkList()
	for errors.Is(err, netlink.ErrDumpInterrupted) {
		all, err = netlink.LinkList() // a link came or went while the kernel wrote the list
	}
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	var links []network.Link
	for _, l := range all {
		if link, ok := linkFrom(l); ok {
			links = append(links, link)
		}
	}
	return links, nil
}

// watcher is one Watch.
type watcher struct {
	// known is what was sent last, by index.
	known map[int]network.Link
	links chan network.Link
}

// run sends the links, and begins anew with another socket and another list whenever news were lost: those that still wait in the old socket
// are older than the list.
func (w *watcher) run(ctx context.Context, socket *nl.NetlinkSocket, links []network.Link) {
	defer close(w.links)
	for {
		release := context.AfterFunc(ctx, socket.Close)
		w.replace(ctx, links)
		w.follow(ctx, socket)
		if !release() {
			return // ctx has ended, and closed the socket
		}
		socket.Close()
		var err error
		if socket, links, err = again(); err != nil {
			return
		}
	}
}

// again subscribes, and then lists, so that no change is in neither.
func again() (*nl.NetlinkSocket, []network.Link, error) {
	socket, err := subscribe()
	if err != nil {
		return nil, nil, err
	}
	links, err := list()
	if err != nil {
		socket.Close()
	}
	return socket, links, err
}

// replace sends the links of a list that changed, and those that are not in it any more.
func (w *watcher) replace(ctx context.Context, links []network.Link) {
	for _, known := range w.known {
		if !slices.ContainsFunc(links, func(l network.Link) bool { return l.Index == known.Index }) {
			known.Gone = true
			w.send(ctx, known)
		}
	}
	for _, l := range links {
		w.send(ctx, l)
	}
}

// follow sends what the kernel tells, until news are lost or ctx ends.
func (w *watcher) follow(ctx context.Context, socket *nl.NetlinkSocket) {
	for ctx.Err() == nil {
		messages, from, err := socket.Receive()
		if err != nil {
			return // ENOBUFS, or closed at the end of ctx
		}
		if from.Pid != nl.PidKernel {
			continue
		}
		for _, m := range messages {
			if m.Header.Type != unix.RTM_NEWLINK && m.Header.Type != unix.RTM_DELLINK {
				continue
			}
			// Bridges tell of their ports in the same way; there RTM_DELLINK means that a port left the bridge.
			if nl.DeserializeIfInfomsg(m.Data).Family != unix.AF_UNSPEC {
				continue
			}
			header := unix.NlMsghdr(m.Header)
			l, err := netlink.LinkDeserialize(&header, m.Data)
			if err != nil {
				return // a damaged message: the list will tell
			}
			if link, ok := linkFrom(l); ok {
				link.Gone = m.Header.Type == unix.RTM_DELLINK
				w.send(ctx, link)
			}
		}
	}
}

// send sends a link unless it is as it was.
func (w *watcher) send(ctx context.Context, link network.Link) {
	known, ok := w.known[link.Index]
	if link.Gone && !ok || ok && reflect.DeepEqual(known, link) {
		return
	}
	w.known[link.Index] = link
	if link.Gone {
		delete(w.known, link.Index)
	}
	select {
	case w.links <- link:
	case <-ctx.Done():
	}
}

// linkFrom leaves out what is neither an Ethernet card nor made of some: the loopback, tunnels, and other links that software made.
func linkFrom(l netlink.Link) (network.Link, bool) {
	a := l.Attrs()
	if a.EncapType != "ether" || a.Flags&net.FlagLoopback != 0 || len(a.HardwareAddr) != 6 {
		return network.Link{}, false
	}
	kind := l.Type()
	switch kind {
	case "device", "veth", "dsa": // a card, its like in a namespace, or a port of a switch chip that is a link of its own
		kind = ""
	case "vlan", "bond", "bridge":
	default:
		return network.Link{}, false
	}
	permanent := a.PermHWAddr
	if port, ok := a.Slave.(*netlink.BondSlave); ok && len(permanent) == 0 {
		permanent = port.PermHardwareAddr // kernels before 5.6 tell it of ports only
	}
	return network.Link{
		Index:        a.Index,
		Name:         a.Name,
		MAC:          a.HardwareAddr,
		PermanentMAC: permanent,
		Kind:         kind,
		Master:       a.MasterIndex,
		MTU:          a.MTU,
		Up:           a.Flags&net.FlagUp != 0,
		Carrier:      a.RawFlags&unix.IFF_LOWER_UP != 0,
	}, true
}
