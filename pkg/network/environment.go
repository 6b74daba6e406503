package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// An Environment is what Up needs of the machine.
type Environment struct {
	Kernel Kernel
	// Clients get leases, by method. Static needs none.
	Clients map[Method]Client
	// Prober finds out whether an IPv4 address is taken.
	Prober Prober
	// Name returns the name that a card is to have; nil leaves all names as they are.
	Name func(Link) (string, error)
	// Prepare makes a link that is to have IPv6 ready for it, before it is set up; nil does nothing.
	Prepare func(Link) error
	// Reach returns nil once the image's host answered a packet that was sent from the link, with the lease's address and resolvers. An
	// error that is ErrRefused is an answer too. Nil means that every lease is good.
	Reach func(context.Context, Link, Lease) error
	// Report is told what happens. It must be safe for several goroutines.
	Report func(Event)
}

// ErrRefused is in the error of Environment.Reach where the host answered, but has no server there.
var ErrRefused = errors.New("the host answers, but nothing listens there")

// An Event is something that happened on a link.
type Event struct {
	Link string
	Text string
	// Problem says that people should know of it, even if all goes well.
	Problem bool
}

// String returns the event as a line.
func (e Event) String() string { return e.Link + ": " + e.Text }

// Kernel is the kernel's view of the network. System is the running one.
type Kernel interface {
	Links
	Addresses
}

// Links are the network interfaces.
type Links interface {
	// Watch sends every link that there is and then every change, until ctx ends; then it closes the channel.
	Watch(ctx context.Context) (<-chan Link, error)
	// Change does what c asks for, in the order of its fields.
	Change(link Link, c Change) error
	// Make makes a VLAN (on parent), a Bond or a Bridge (without ports yet, and not up). A link of that name and kind that is there already, as
	// the bonding driver's own bond0 is, is replaced.
	Make(v Virtual, parent Link) error
	// Join makes port a port of the bond or bridge of that name, and sets it up.
	Join(port Link, master string) error
}

// A Change is what is to be changed of a link; zero values leave it as it is.
type Change struct {
	Name string
	MAC  string
	MTU  int
	Up   bool
	Down bool
}

// A Virtual is a link made of others: a VLAN, a Bond or a Bridge.
type Virtual interface{ LinkName() string }

// LinkName returns the name of the link.
func (v VLAN) LinkName() string { return v.Name }

// LinkName returns the name of the link.
func (b Bond) LinkName() string { return b.Name }

// LinkName returns the name of the link.
func (b Bridge) LinkName() string { return b.Name }

// Addresses are the links' addresses and routes.
type Addresses interface {
	// Configure gives the link the address, with its lifetimes, and the routes of the lease, in place of what is there already of the same. Of an IPv6
	// address it waits until the kernel found it to be no duplicate; the error is then a *DuplicateError. What the kernel set itself
	// (Lease.FromKernel) is left alone.
	Configure(ctx context.Context, link Link, lease Lease) error
	// Remove takes them away again.
	Remove(link Link, lease Lease) error
}

// A Client gets leases, by one method.
type Client interface {
	// Acquire asks on the link until it has a lease, ctx ends, or there is no hope. It calls attempt with each try's number, from 1.
	Acquire(ctx context.Context, link Link, attempt func(int)) (Lease, error)
	// Renew asks once, with the protocol's retransmissions until ctx ends, for more time: the lease's server or, to rebind, any. A server
	// that refuses makes an error that is ErrLost.
	Renew(ctx context.Context, link Link, lease Lease, rebind bool) (Lease, error)
	// Decline tells the server that the address is in use.
	Decline(ctx context.Context, link Link, lease Lease) error
}

// ErrLost is in the error of Client.Renew where the server said that the lease is no longer ours.
var ErrLost = errors.New("the server takes the address back")

// A Prober finds out by ARP whether an IPv4 address is in use, RFC 5227.
type Prober interface {
	// Probe asks once who has the address. It returns nil if nobody answered within a short while; else a *DuplicateError.
	Probe(ctx context.Context, link Link, address netip.Addr) error
	// Watch waits until somebody else is seen to use the address, and returns a *DuplicateError; or until ctx ends.
	Watch(ctx context.Context, link Link, address netip.Addr) error
}

// A DuplicateError says that somebody else uses an address.
type DuplicateError struct {
	Address netip.Addr
	// Owner is the other's hardware address, where it is known.
	Owner net.HardwareAddr
}

// Error names the address and who has it.
func (e *DuplicateError) Error() string {
	if len(e.Owner) == 0 {
		return fmt.Sprintf("the address %v is in use by another machine", e.Address)
	}
	return fmt.Sprintf("the address %v is in use by the machine with the hardware address %v", e.Address, e.Owner)
}
