package rtnl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
)

// unique sets an IPv6 address and waits until the kernel found that nobody else has it.
func unique(ctx context.Context, link network.Link, address netip.Addr, set func() error) error {
	// Before the address is set, so that nothing is missed.
	news, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return fmt.Errorf("watch addresses: %w", err)
	}
	defer context.AfterFunc(ctx, news.Close)()
	defer news.Close()
	if err := set(); err != nil {
		return err
	}
	for {
		done, err := tried(link, address)
		if done || err != nil {
			return err
		}
		// Whatever came, and also if some of it was lost (ENOBUFS): the kernel is asked for the state.
		if _, _, err := news.Receive(); err != nil && ctx.Err() != nil {
			return fmt.Errorf("address %v on %s: wait for duplicate address detection: %w", address, link.Name, context.Cause(ctx))
		} else if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return fmt.Errorf("watch addresses: %w", err)
		}
	}
}

// tried says whether an address that was set has been found to be unique; the error is a *network.DuplicateError if it was found not to be.
func tried(link network.Link, address netip.Addr) (bool, error) {
	all, err := netlink.AddrList(handle(link), netlink.FAMILY_V6)
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		return tried(link, address)
	}
	if err != nil {
		return false, fmt.Errorf("list the addresses of %s: %w", link.Name, err)
	}
	for _, a := range all {
		if got, _ := netip.AddrFromSlice(a.IP); got != address {
			continue
		}
		if a.Flags&unix.IFA_F_DADFAILED != 0 {
			return false, &network.DuplicateError{Address: address}
		}
		return a.Flags&unix.IFA_F_TENTATIVE == 0, nil
	}
	// One that would expire is removed when it is found to be a duplicate; all are when the link is set down.
	now, err := netlink.LinkByIndex(link.Index)
	if err != nil {
		return false, fmt.Errorf("address %v on %s: %w", address, link.Name, err)
	}
	if now.Attrs().Flags&net.FlagUp == 0 {
		return false, fmt.Errorf("address %v on %s: the link was set down: %w", address, link.Name, unix.ENETDOWN)
	}
	return false, &network.DuplicateError{Address: address}
}
