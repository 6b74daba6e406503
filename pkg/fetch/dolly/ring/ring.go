// Package ring is the wire protocol of dolly (https://github.com/openSUSE/dolly), which brings one file to many machines: each node passes
// what it gets on to the next one, so that the server sends it once. Its programs have two dialects, which do not understand each
// other; how they speak was found on the wire, with versions 0.64.2 and 0.72.0 run beside this package.
//
// A node listens on DataPort and ControlPort. The node before it, its parent, connects to the first and then to the second. On the
// control connection the parent sends, in this order:
//
//   - in the dialect Dialect07 only: a byte that tells whether there is a password (0 or 1); if so a nonce of 32 bytes, which the
//     node answers with SHA-256(SHA-256(password) ‖ nonce), and then "OK" or "AUTH_FAILED:<host>", ended by a zero byte; then the mode, 4
//     bytes, little-endian: 0 for a file, anything else for a tar archive of folders;
//   - the configuration, text of less than MaxConfig bytes, see Config;
//   - when it has sent the last byte of the file on the data connection: how many there were, 8 bytes, little-endian.
//
// The node answers with two lines, one when it has the configuration and one when it is connected to the next node and has passed the
// configuration on. It passes up the lines of those behind it. The server sends the file when each node has said that it is ready. At the
// end the last node sends the 8 bytes back, and each before it passes them up.
//
// On the data connection the file is sent as it is. Its end means nothing: nodes of the programs keep the connection open. A parent
// should end it all the same when it has sent the size, see EndData.
package ring

import (
	"errors"
	"fmt"
	"time"
)

// The ports on which nodes listen.
const (
	DataPort    = 9998
	ControlPort = 9997
	// WakePort is that of a service on other machines that starts the program when somebody connects (dolly.socket).
	WakePort = 9996
)

// MaxTotal is a size in bytes that no file has: what is larger is taken for noise.
const MaxTotal = 1 << 56

// A Dialect is what a version of the program speaks.
type Dialect int

// The dialects.
const (
	Dialect07 Dialect = iota // versions 0.7x
	Dialect06                // versions 0.6x
)

// String names the versions.
func (d Dialect) String() string {
	if d == Dialect06 {
		return "0.6x"
	}
	return "0.7x"
}

// ErrFirstByte says that what a connection began with is of neither dialect.
var ErrFirstByte = errors.New("it does not speak dolly's protocol")

// DialectOf tells the dialect by the first byte of a parent.
func DialectOf(first byte) (Dialect, error) {
	switch first {
	case 0, 1:
		return Dialect07, nil
	case 'i', 'c': // infile, compressed infile
		return Dialect06, nil
	}
	return 0, ErrFirstByte
}

// Configured is what host says when it has the configuration.
func (d Dialect) Configured(host string) string {
	if d == Dialect06 {
		return fmt.Sprintf("Host got parameters '%s'.\n", host)
	}
	return fmt.Sprintf("Client %s configured with parameters. Ready to proceed.\n", host)
}

// Ready is what host says when it can be sent the file. The word that counts is in no other line.
func (d Dialect) Ready(host string) string {
	if d == Dialect06 {
		return fmt.Sprintf("Host ready '%s'.\n", host)
	}
	return fmt.Sprintf("Client %s ready.\n", host)
}

// Skipped is said in the place of Ready by the node that had to leave host out, so that the server does not wait for it. It is an addition to
// the protocol; for a server that does not know it, host is ready.
func (d Dialect) Skipped(host string) string {
	if d == Dialect06 {
		return fmt.Sprintf("Host skipped '%s', the ring is ready without it.\n", host)
	}
	return fmt.Sprintf("Client %s skipped, the ring is ready without it.\n", host)
}

// Lost is said by the node before host when host is gone in the middle of the file. It is an addition to the protocol; a server that does not
// know it takes its beginning for the size that the last node sends back, which is the wrong one, and says that not all have the file.
func (d Dialect) Lost(host string) string {
	if d == Dialect06 {
		return fmt.Sprintf("Host lost '%s'.\n", host)
	}
	return fmt.Sprintf("Client %s lost.\n", host)
}

const (
	// stepTime bounds each step of the introduction, but for its first byte: the parent may have to wait for another child first.
	stepTime = 30 * time.Second
	// settle is how long a parent waits after "OK": the programs read that answer without knowing where it ends.
	settle = 200 * time.Millisecond
	// rest is how long the rest of a configuration is waited for, of which the end is there.
	rest = time.Second
)
