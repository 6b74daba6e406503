// Netcat sends its input over the network and writes what comes back, for a person in the rescue shell: is that port open, what does that
// server say, bring this log over to my machine.
//
//	netcat [-4|-6] [-u] [-ssl] [-z] [-w <seconds>] <host> <port>
//	netcat -l [-4|-6] [-u] [<address>] <port>
//	netcat -U [-l] [-w <seconds>] <socket's path>
package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

func main() {
	err := run(os.Args[1:], os.Stdin, os.Stdout)
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "netcat:", err)
		os.Exit(1)
	}
}

// errUsage says that the flags or arguments were wrong, which the person has been told.
var errUsage = errors.New("usage")

// options is what the command line says.
type options struct {
	listen, udp, unix, v4, v6, tls, zero bool

	// wait is how long connecting may take, and how long the answer once the input has ended; 0 is for ever.
	wait time.Duration

	// address is of the other side, or the own one to listen on.
	address string
}

func run(args []string, in io.Reader, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	conn, err := o.open()
	if err != nil {
		return err
	}
	defer conn.Close()
	if o.zero {
		return nil
	}
	return exchange(conn, in, out, o.wait)
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("netcat", flag.ContinueOnError)
	flags.BoolVar(&o.listen, "l", false, "listen, and take the first who comes")
	flags.BoolVar(&o.udp, "u", false, "UDP in place of TCP")
	flags.BoolVar(&o.unix, "U", false, "a Unix socket, named by its path")
	flags.BoolVar(&o.v4, "4", false, "IPv4 only")
	flags.BoolVar(&o.v6, "6", false, "IPv6 only")
	flags.BoolVar(&o.tls, "ssl", false, "speak TLS, and check the server's certificate")
	flags.BoolVar(&o.zero, "z", false, "only see whether the connection comes about")
	seconds := flags.Uint("w", 0, "how many seconds connecting may take, and the answer once the input has ended; 0: for ever")
	if flags.Parse(args) != nil {
		return o, errUsage
	}
	o.wait = time.Duration(*seconds) * time.Second
	switch n := flags.NArg(); {
	case o.unix && n == 1:
		o.address = flags.Arg(0)
	case !o.unix && n == 2:
		o.address = net.JoinHostPort(flags.Arg(0), flags.Arg(1))
	case !o.unix && n == 1 && o.listen:
		o.address = net.JoinHostPort("", flags.Arg(0))
	default:
		fmt.Fprintln(flags.Output(), "want a host and a port, with -l a port, with -U a path")
		flags.Usage()
		return o, errUsage
	}
	if o.v4 && o.v6 || o.unix && (o.udp || o.v4 || o.v6) || o.tls && (o.udp || o.unix || o.listen) {
		fmt.Fprintln(flags.Output(), "these flags do not go together")
		return o, errUsage
	}
	return o, nil
}

// network is the kind of connection, as package net names it.
func (o options) network() string {
	name := "tcp"
	switch {
	case o.unix:
		return "unix"
	case o.udp:
		name = "udp"
	}
	switch {
	case o.v4:
		name += "4"
	case o.v6:
		name += "6"
	}
	return name
}

// open connects, or waits for somebody who does.
func (o options) open() (io.ReadWriteCloser, error) {
	switch {
	case o.listen && o.udp:
		return listenUDP(o.network(), o.address)
	case o.listen:
		l, err := net.Listen(o.network(), o.address)
		if err != nil {
			return nil, err
		}
		defer l.Close()
		return l.Accept()
	}
	dialer := &net.Dialer{Timeout: o.wait}
	if o.tls {
		return tls.DialWithDialer(dialer, o.network(), o.address, nil)
	}
	return dialer.Dial(o.network(), o.address)
}
