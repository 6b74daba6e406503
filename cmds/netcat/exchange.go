package main

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/term"
)

// exchange sends what comes in, and writes what comes back until the other side ends. The end of the input is passed on, where the
// connection has a way to say so; wait limits what is waited for after it, if it is not 0. An input that has an end is sent to it, also to
// one who has said all that there is to say, and still listens. At a terminal a person would have to type something to find out: there the
// other's end is the end.
func exchange(conn io.ReadWriter, in io.Reader, out io.Writer, wait time.Duration) error {
	sent := make(chan error, 1)
	go func() { sent <- send(conn, in, wait) }()
	_, err := io.Copy(out, conn)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if typed(in) {
		return nil
	}
	return <-sent
}

// send sends what comes in, and that it has ended.
func send(conn io.Writer, in io.Reader, wait time.Duration) error {
	_, err := io.Copy(conn, in)
	if half, ok := conn.(interface{ CloseWrite() error }); ok && err == nil {
		// One who is gone need not be told.
		if err = half.CloseWrite(); errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.EPIPE) {
			err = nil
		}
	}
	if limited, ok := conn.(interface{ SetReadDeadline(time.Time) error }); ok && wait > 0 {
		err = errors.Join(err, limited.SetReadDeadline(time.Now().Add(wait)))
	}
	return err
}

// typed tells whether a person types the input.
func typed(in io.Reader) bool {
	f, ok := in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// listenUDP waits for the first datagram, and then talks to who sent it.
func listenUDP(network, address string) (io.ReadWriteCloser, error) {
	socket, err := net.ListenPacket(network, address)
	if err != nil {
		return nil, err
	}
	return acceptUDP(socket)
}

// acceptUDP does that with a socket.
func acceptUDP(socket net.PacketConn) (io.ReadWriteCloser, error) {
	first := make([]byte, 64<<10) // more than a datagram can hold
	n, peer, err := socket.ReadFrom(first)
	if err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	return &datagrams{PacketConn: socket, peer: peer, first: first[:n]}, nil
}

// datagrams is the way to and from one peer on a socket that others can reach, too.
type datagrams struct {
	net.PacketConn
	peer  net.Addr
	first []byte // not read yet
}

// Read returns the next datagram of the peer.
func (d *datagrams) Read(b []byte) (int, error) {
	if d.first != nil {
		n := copy(b, d.first)
		d.first = d.first[n:]
		if len(d.first) == 0 {
			d.first = nil
		}
		return n, nil
	}
	for {
		n, from, err := d.ReadFrom(b)
		if err != nil || from.String() == d.peer.String() {
			return n, err
		}
	}
}

// Write sends one datagram to the peer.
func (d *datagrams) Write(b []byte) (int, error) { return d.WriteTo(b, d.peer) }
