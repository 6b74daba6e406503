package reach

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/liveboot/liveboot/pkg/network"
)

// Names are looked up here and not by package net, because that reads /etc/resolv.conf at its first use, for several seconds: but the file
// is only written when it is known whose resolvers are the right ones, and the download needs them at once.

// lookup returns the addresses of a host, by the resolvers of the lease and over the link.
func lookup(ctx context.Context, host string, link network.Link, lease network.Lease) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	if len(lease.Resolvers) == 0 {
		return nil, errors.New("no resolver: the lease names none; add nameserver=<address> to the kernel command line, or write an address instead of the name of the server")
	}
	r := resolver{dialer(link), lease.Resolvers, dnsPort}
	var first error
	for _, name := range names(host, lease.Search) {
		addresses, err := r.lookup(ctx, name)
		if own := usable(addresses, lease); len(own) > 0 {
			return own, nil
		}
		if err == nil {
			err = fmt.Errorf("%s has no address of the kind that the link has, but %v", strings.TrimSuffix(name, "."), addresses)
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// names returns what to ask for, with a dot at the end, in the order of resolv.conf(5) with ndots:1.
func names(host string, search []string) []string {
	if strings.HasSuffix(host, ".") {
		return []string{host}
	}
	var names []string
	for _, domain := range search {
		names = append(names, host+"."+strings.Trim(domain, ".")+".")
	}
	if strings.Contains(host, ".") {
		return append([]string{host + "."}, names...)
	}
	return append(names, host+".")
}

// usable returns the addresses of the lease's own kind: that the host answers to others would say nothing of the lease.
func usable(addresses []netip.Addr, lease network.Lease) []netip.Addr {
	var own []netip.Addr
	for _, a := range addresses {
		if a.Is4() == lease.Address.Addr().Is4() {
			own = append(own, a)
		}
	}
	return own
}

const (
	dnsPort = 53
	// answerTime is how long one server may take to answer, before the next is asked.
	answerTime = 1500 * time.Millisecond
)

// A resolver asks servers for names, RFC 1035.
type resolver struct {
	dialer  *net.Dialer
	servers []netip.Addr
	port    uint16
}

// lookup asks one server after the other, from the beginning again until ctx ends.
func (r resolver) lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	var errs []error
	for i := 0; ctx.Err() == nil; i++ {
		server := netip.AddrPortFrom(r.servers[i%len(r.servers)], r.port)
		addresses, err := r.ask(ctx, server, name)
		if err == nil {
			return addresses, nil
		}
		var unknown *unknownError
		if errors.As(err, &unknown) {
			return nil, err
		}
		if i < len(r.servers) {
			errs = append(errs, fmt.Errorf("the resolver %v: %w", server.Addr(), err))
		}
		if i >= len(r.servers)-1 && !errors.Is(err, os.ErrDeadlineExceeded) {
			break // it refuses; the caller tries again later
		}
	}
	return nil, errors.Join(errs...)
}

// An unknownError says that there is no such name, or that it has no address.
type unknownError struct{ name string }

func (e *unknownError) Error() string { return "no such host: " + e.name }

// ask asks one server for the IPv4 and the IPv6 addresses of a name.
func (r resolver) ask(ctx context.Context, server netip.AddrPort, name string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var addresses []netip.Addr
	answers := 0
	var failure error
	for _, kind := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
		some, err := r.query(ctx, server, name, kind)
		if err != nil {
			failure = err
			continue
		}
		answers++
		addresses = append(addresses, some...)
	}
	switch {
	case len(addresses) > 0:
		return addresses, nil
	case answers > 0:
		return nil, &unknownError{strings.TrimSuffix(name, ".")}
	}
	return nil, failure
}

// query asks for the records of one type, by UDP and, if the answer is too long for that, by TCP (RFC 7766).
func (r resolver) query(ctx context.Context, server netip.AddrPort, name string, kind dnsmessage.Type) ([]netip.Addr, error) {
	id := uint16(rand.Uint32())
	question, err := pack(id, name, kind)
	if err != nil {
		return nil, err
	}
	for _, protocol := range []string{"udp", "tcp"} {
		message, err := r.exchange(ctx, protocol, server, question)
		if err != nil {
			return nil, err
		}
		addresses, truncated, err := unpack(message, id, kind)
		if err != nil || !truncated {
			return addresses, err
		}
	}
	return nil, errors.New("its answer is truncated")
}

// exchange sends a question and returns the answer to it.
func (r resolver) exchange(ctx context.Context, protocol string, server netip.AddrPort, question []byte) ([]byte, error) {
	conn, err := r.dialer.DialContext(ctx, protocol, server.String())
	if err != nil {
		return nil, brief(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	if protocol == "tcp" {
		framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(question))), question...)
		if _, err := conn.Write(framed); err != nil {
			return nil, brief(err)
		}
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return nil, brief(err)
		}
		message := make([]byte, binary.BigEndian.Uint16(length[:]))
		_, err := io.ReadFull(conn, message)
		return message, err
	}
	if _, err := conn.Write(question); err != nil {
		return nil, brief(err)
	}
	message := make([]byte, 1<<16)
	for {
		n, err := conn.Read(message)
		if err != nil {
			return nil, brief(err)
		}
		// Whatever else comes to the socket is not an answer to this.
		if n >= 2 && message[0] == question[0] && message[1] == question[1] {
			return message[:n], nil
		}
	}
}

func pack(id uint16, name string, kind dnsmessage.Type) ([]byte, error) {
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return nil, fmt.Errorf("%q is no name of a host: %w", name, err)
	}
	message := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: n, Type: kind, Class: dnsmessage.ClassINET}},
	}
	question, err := message.Pack()
	if err != nil {
		return nil, fmt.Errorf("%q is no name of a host: %w", name, err)
	}
	return question, nil
}

// unpack returns the addresses in an answer. The names of their records may be others than the one that was asked for: aliases lead to them.
func unpack(message []byte, id uint16, kind dnsmessage.Type) (addresses []netip.Addr, truncated bool, err error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(message)
	if err != nil {
		return nil, false, fmt.Errorf("read its answer: %w", err)
	}
	switch {
	case header.ID != id || !header.Response:
		return nil, false, errors.New("its answer is to another question")
	case header.RCode == dnsmessage.RCodeNameError:
		return nil, false, nil
	case header.RCode != dnsmessage.RCodeSuccess:
		return nil, false, fmt.Errorf("it answers %s", strings.TrimPrefix(header.RCode.String(), "RCode"))
	case header.Truncated:
		return nil, true, nil
	}
	if err := parser.SkipAllQuestions(); err != nil {
		return nil, false, fmt.Errorf("read its answer: %w", err)
	}
	for {
		resource, err := parser.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return addresses, false, nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("read its answer: %w", err)
		}
		switch {
		case resource.Type == kind && kind == dnsmessage.TypeA:
			a, err := parser.AResource()
			if err != nil {
				return nil, false, fmt.Errorf("read its answer: %w", err)
			}
			addresses = append(addresses, netip.AddrFrom4(a.A))
		case resource.Type == kind && kind == dnsmessage.TypeAAAA:
			a, err := parser.AAAAResource()
			if err != nil {
				return nil, false, fmt.Errorf("read its answer: %w", err)
			}
			addresses = append(addresses, netip.AddrFrom16(a.AAAA))
		default:
			if err := parser.SkipAnswer(); err != nil {
				return nil, false, fmt.Errorf("read its answer: %w", err)
			}
		}
	}
}
