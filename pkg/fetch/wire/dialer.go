package wire

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

// A Dialer makes connections the way a person asked for. The zero Dialer makes them any way.
type Dialer struct {
	// Timeout bounds name resolution and connection together; 0 for none.
	Timeout time.Duration
	// IPVersion is 4 or 6 to use only such addresses; 0 for both.
	IPVersion int
	// Interface is the name of a network interface, or an address of this machine, that packets leave by; empty for any.
	Interface string
}

// DialContext connects to address by network "tcp".
func (d Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: d.Timeout, Control: d.control}
	if local, ok := d.localAddress(); ok {
		dialer.LocalAddr = &net.TCPAddr{IP: local.AsSlice(), Zone: local.Zone()}
	}
	return dialer.DialContext(ctx, d.network(network), address)
}

// Listen waits for a TCP connection to host, an address of this machine.
func (d Dialer) Listen(ctx context.Context, host string) (net.Listener, error) {
	config := net.ListenConfig{Control: d.control}
	return config.Listen(ctx, d.network("tcp"), net.JoinHostPort(host, "0"))
}

// ListenPort waits for TCP connections over IPv4 to a port of this machine.
func (d Dialer) ListenPort(ctx context.Context, port int) (net.Listener, error) {
	host := ""
	if address, ok := d.localAddress(); ok {
		host = address.String()
	}
	config := net.ListenConfig{Control: d.control}
	return config.Listen(ctx, "tcp4", net.JoinHostPort(host, strconv.Itoa(port)))
}

// ListenPacket opens a UDP socket that can send to remote. (It is not connected: a TFTP server answers from another port.)
func (d Dialer) ListenPacket(ctx context.Context, remote netip.Addr) (*net.UDPConn, error) {
	local := netip.IPv6Unspecified()
	if remote.Unmap().Is4() {
		local = netip.IPv4Unspecified()
	}
	if address, ok := d.localAddress(); ok {
		local = address
	}
	config := net.ListenConfig{Control: d.control}
	conn, err := config.ListenPacket(ctx, "udp", netip.AddrPortFrom(local, 0).String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

// Resolve returns the addresses of host that may be used, those first that the system prefers.
func (d Dialer) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if d.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.Timeout)
		defer cancel()
	}
	return net.DefaultResolver.LookupNetIP(ctx, d.network("ip"), host)
}

// network appends the version of the protocol.
func (d Dialer) network(name string) string {
	if d.IPVersion == 0 {
		return name
	}
	return fmt.Sprint(name, d.IPVersion)
}

func (d Dialer) localAddress() (netip.Addr, bool) {
	address, err := netip.ParseAddr(d.Interface)
	return address, err == nil
}

// control binds a socket to the interface. The kernel lets root do that, and since 5.7 others too.
func (d Dialer) control(_, _ string, c syscall.RawConn) error {
	if _, ok := d.localAddress(); ok || d.Interface == "" {
		return nil
	}
	var bindErr error
	err := c.Control(func(fd uintptr) { bindErr = syscall.BindToDevice(int(fd), d.Interface) })
	if err == nil && bindErr != nil {
		err = &InterfaceError{Name: d.Interface, Err: bindErr}
	}
	return err
}

// An InterfaceError says that packets cannot leave by the interface that was asked for.
type InterfaceError struct {
	Name string
	Err  error
}

// Error names the interface.
func (e *InterfaceError) Error() string { return fmt.Sprintf("use interface %s: %v", e.Name, e.Err) }

// Unwrap returns what the kernel said.
func (e *InterfaceError) Unwrap() error { return e.Err }

// Permanent is true: a name that was mistyped stays so.
func (*InterfaceError) Permanent() bool { return true }
