package ftp

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// dataConnection prepares the second connection. open is called when the server has agreed to use it, done when it is not waited for
// any more.
func (f *File) dataConnection(ctx context.Context, s *session) (open func() (*watched, error), done func(), err error) {
	connect := f.passive
	if f.options.Active != "" {
		connect = f.active
	}
	plain, done, err := connect(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	return func() (*watched, error) {
		conn, err := plain()
		if err != nil {
			return nil, err
		}
		if s.protected {
			conn = tls.Client(conn, s.config)
		}
		w := &watched{Conn: conn}
		w.watch(ctx)
		return w, nil
	}, done, nil
}

// watched is a connection that ends with a context.
type watched struct {
	net.Conn
	stop func() bool
}

// watch lets the connection end with ctx, until stop is called.
func (w *watched) watch(ctx context.Context) {
	w.stop = context.AfterFunc(ctx, func() { w.Conn.Close() })
}

// Close implements net.Conn.
func (w *watched) Close() error {
	w.stop()
	return w.Conn.Close()
}

// passive connects to the port that the server names, at the address that it is known by: what PASV says of the address is often that of
// an inner network, or of a victim.
func (f *File) passive(ctx context.Context, s *session) (func() (net.Conn, error), func(), error) {
	host, _, err := net.SplitHostPort(s.conn.RemoteAddr().String())
	if err != nil {
		return nil, nil, err
	}
	answer, err := s.command(0, "EPSV")
	if err != nil {
		return nil, nil, err
	}
	var port uint16
	if answer.Code == 229 {
		port, err = parseEPSV(answer.Text)
	} else if answer, err = s.command(227, "PASV"); err == nil {
		port, err = parsePASV(answer.Text)
	}
	if err != nil {
		return nil, nil, err
	}
	conn, err := f.options.Dial(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
	if err != nil {
		return nil, nil, fmt.Errorf("open data connection: %w", err)
	}
	used := false
	return func() (net.Conn, error) { used = true; return conn, nil }, func() {
		if !used {
			_ = conn.Close() // what went wrong is told already
		}
	}, nil
}

// active waits for the server to connect.
func (f *File) active(ctx context.Context, s *session) (func() (net.Conn, error), func(), error) {
	host := f.options.Active
	if host == "-" {
		var err error
		if host, _, err = net.SplitHostPort(s.conn.LocalAddr().String()); err != nil {
			return nil, nil, err
		}
	}
	listener, err := f.options.Listen(ctx, host)
	if err != nil {
		return nil, nil, fmt.Errorf("wait for data connection: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	done := func() {
		stop()
		_ = listener.Close() // the connection, if there is one, stays
	}
	address, err := netip.ParseAddrPort(listener.Addr().String())
	if err == nil {
		err = announce(s, netip.AddrPortFrom(address.Addr().Unmap().WithZone(""), address.Port()))
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	server, _, _ := net.SplitHostPort(s.conn.RemoteAddr().String())
	return func() (net.Conn, error) { return accept(listener, server) }, done, nil
}

// accept takes the server's connection, and nobody else's.
func accept(listener net.Listener, server string) (net.Conn, error) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return nil, err
		}
		if host, _, err := net.SplitHostPort(conn.RemoteAddr().String()); err == nil && host == server {
			return conn, nil
		}
		_ = conn.Close() // whoever that was
	}
}

// announce tells the server where to connect to.
func announce(s *session, a netip.AddrPort) error {
	family := 1
	if a.Addr().Is6() {
		family = 2
	}
	answer, err := s.command(0, "EPRT |%d|%v|%d|", family, a.Addr(), a.Port())
	if err != nil || answer.Code == 200 {
		return err
	}
	if family == 2 {
		return answer
	}
	b := a.Addr().As4()
	_, err = s.command(200, "PORT %d,%d,%d,%d,%d,%d", b[0], b[1], b[2], b[3], a.Port()>>8, a.Port()&0xff)
	return err
}

// parseEPSV reads the port of "Entering Extended Passive Mode (|||6446|)" (RFC 2428 section 3).
func parseEPSV(text string) (uint16, error) {
	_, rest, _ := strings.Cut(text, "(")
	inside, _, found := strings.Cut(rest, ")")
	if found && len(inside) > 4 {
		d := inside[:1]
		fields := strings.Split(inside, d)
		if len(fields) == 5 && fields[0] == "" && fields[4] == "" {
			if port, err := strconv.ParseUint(fields[3], 10, 16); err == nil && port > 0 {
				return uint16(port), nil
			}
		}
	}
	return 0, fmt.Errorf("the server names no port in %q", text)
}

// parsePASV reads the port of "Entering Passive Mode (h1,h2,h3,h4,p1,p2)" (RFC 959 section 4.1.2). Some servers leave out the brackets.
func parsePASV(text string) (uint16, error) {
	text = strings.TrimRight(text, ". )")
	start := strings.LastIndexFunc(text, func(r rune) bool { return r != ',' && (r < '0' || r > '9') })
	fields := strings.Split(text[start+1:], ",")
	if len(fields) == 6 {
		high, highErr := strconv.ParseUint(fields[4], 10, 8)
		low, lowErr := strconv.ParseUint(fields[5], 10, 8)
		if port := high<<8 | low; highErr == nil && lowErr == nil && port > 0 {
			return uint16(port), nil
		}
	}
	return 0, fmt.Errorf("the server names no port in %q", text)
}
