package fetchtest

import (
	"context"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
)

// A Network is servers in memory, for tests in which time is not the real one (testing/synctest): real sockets wait for real time.
type Network struct {
	mutex   sync.Mutex
	hosts   map[string]*listener
	servers []*http.Server
	closers []func()
}

// NewNetwork returns a network without servers.
func NewNetwork() *Network { return &Network{hosts: map[string]*listener{}} }

// Server adds a server, as New makes one, at http://host.
func (n *Network) Server(host string, file File, answers ...Answer) *Server {
	s := prepare(file, answers)
	n.Handle(host, s)
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.closers = append(n.closers, func() { close(s.closing) })
	return s
}

// Handle adds a server of another kind.
func (n *Network) Handle(host string, handler http.Handler) {
	l := &listener{host: host, conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler}
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.hosts[host] = l
	n.servers = append(n.servers, server)
	go server.Serve(l)
}

// Dial connects to a server. A host called "nobody" is not known; any other without a server refuses.
func (n *Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	n.mutex.Lock()
	l := n.hosts[host]
	n.mutex.Unlock()
	if l == nil && host == "nobody" {
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
	}
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Close ends all servers.
func (n *Network) Close() {
	for _, c := range n.closers {
		c()
	}
	for _, s := range n.servers {
		s.Close()
	}
}

// A listener accepts what is dialled in memory.
type listener struct {
	host   string
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return address(l.host) }

type address string

func (address) Network() string  { return "memory" }
func (a address) String() string { return string(a) }
