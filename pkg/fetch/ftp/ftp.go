// Package ftp reads one file over FTP (RFC 959), in the clear or over TLS (RFC 4217), by IPv4 or IPv6 (RFC 2428), from the beginning or
// from an offset (RFC 3659). It is a client of its own since the known ones have no active mode, which some networks still need.
package ftp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/liveboot/liveboot/pkg/fetch/wire"
)

// Security is how the connection is protected.
type Security int

// Kinds of Security.
const (
	// Plain: it is not.
	Plain Security = iota
	// Explicit: TLS begins with the command AUTH, on the port of plain FTP.
	Explicit
	// Implicit: TLS begins with the connection, on a port of its own.
	Implicit
)

// Ports of servers.
const (
	Port         = 21
	ImplicitPort = 990
)

// Options say how to ask.
type Options struct {
	// Dial connects to servers, Listen waits for them in active mode.
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Listen func(ctx context.Context, host string) (net.Listener, error)
	// Security of both connections. TLS is how it is spoken; its RootCAs are asked of Roots when they are needed.
	Security Security
	TLS      *tls.Config
	Roots    func() (*x509.CertPool, error)
	// Login is nil for that in the URL, and anonymous where there is none either.
	Login *url.Userinfo
	// Active asks the server to connect back: to this address, or to that of the control connection if it is "-". It is empty for passive
	// mode.
	Active string
}

// A File is a file of a server.
type File struct {
	target  *url.URL
	path    string
	options Options
}

// New returns the file at target; nothing is asked yet. The path is relative to the folder that the login leads to; one
// that begins with two slashes is absolute (RFC 1738 section 3.2.2).
func New(target *url.URL, o Options) (*File, error) {
	path, _, _ := strings.Cut(strings.TrimPrefix(target.Path, "/"), ";type=")
	if o.Login == nil {
		o.Login = target.User
	}
	if o.Login == nil {
		o.Login = url.UserPassword("anonymous", "liveboot@")
	}
	password, _ := o.Login.Password()
	switch {
	case path == "":
		return nil, errors.New("the URL names no file")
	case strings.ContainsAny(path+o.Login.Username()+password, "\r\n\x00"):
		return nil, errors.New("the URL or the login has a line break in it")
	}
	return &File{target: target, path: path, options: o}, nil
}

// Open asks for the file from p on.
func (f *File) Open(ctx context.Context, p wire.Position) (*wire.Body, error) {
	s, err := f.connect(ctx)
	if err != nil {
		return nil, err
	}
	body, err := f.retrieve(ctx, s, p)
	if err != nil {
		s.close()
		return nil, err
	}
	return body, nil
}

// connect logs in.
func (f *File) connect(ctx context.Context) (*session, error) {
	config := f.options.TLS.Clone()
	config.ServerName = f.target.Hostname()
	if f.options.Security != Plain {
		var err error
		if config.RootCAs, err = f.options.Roots(); err != nil {
			return nil, err
		}
	}
	port := f.target.Port()
	switch {
	case port != "":
	case f.options.Security == Implicit:
		port = strconv.Itoa(ImplicitPort)
	default:
		port = strconv.Itoa(Port)
	}
	conn, err := f.options.Dial(ctx, "tcp", net.JoinHostPort(f.target.Hostname(), port))
	if err != nil {
		return nil, err
	}
	s := newSession(ctx, conn, config)
	if err := f.greet(s); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (f *File) greet(s *session) error {
	if f.options.Security == Implicit {
		s.secure()
	}
	if _, err := s.reply("", 220); err != nil {
		return err
	}
	if f.options.Security == Explicit {
		if _, err := s.command(234, "AUTH TLS"); err != nil {
			return err
		}
		s.secure()
	}
	if err := f.login(s); err != nil {
		return err
	}
	if f.options.Security != Plain {
		for _, c := range []string{"PBSZ 0", "PROT P"} {
			if _, err := s.command(200, "%s", c); err != nil {
				return err
			}
		}
		s.protected = true
	}
	_, err := s.command(200, "TYPE I")
	return err
}

func (f *File) login(s *session) error {
	code, err := s.command(0, "USER %s", f.options.Login.Username())
	if err != nil || code.Code == 230 {
		return err
	}
	if code.Code != 331 {
		return code
	}
	password, _ := f.options.Login.Password()
	_, err = s.command(2, "PASS %s", password)
	return err
}

// retrieve starts the transfer.
func (f *File) retrieve(ctx context.Context, s *session, p wire.Position) (*wire.Body, error) {
	size, modified, err := f.stat(s)
	if err != nil {
		return nil, err
	}
	body := &wire.Body{Size: size, Validator: wire.Validator{Modified: modified}}
	shown := *f.target
	shown.User = nil
	body.URL = shown.String()
	open, closeListener, err := f.dataConnection(ctx, s)
	if err != nil {
		return nil, err
	}
	defer closeListener()
	// A file that was changed is asked for from its beginning. From there, too, it is good to know whether the server could begin elsewhere.
	var offset int64
	if (size < 0 || p.Offset < size) && (!p.Validator.Known() || p.Validator.Same(body.Validator)) {
		offset = p.Offset
	}
	switch answer, err := s.command(0, "REST %d", offset); {
	case err != nil:
		return nil, err
	case answer.Code == 350:
		body.Offset, body.Ranges = offset, true
	}
	if _, err := s.command(1, "RETR %s", f.path); err != nil {
		return nil, err
	}
	data, err := open()
	if err != nil {
		return nil, err
	}
	body.ReadCloser = &transfer{session: s, data: data}
	return body, nil
}

// stat returns size and time of the last change, -1 and "" where the server does not know the commands.
func (f *File) stat(s *session) (int64, string, error) {
	size := int64(-1)
	switch answer, err := s.command(0, "SIZE %s", f.path); {
	case err != nil:
		return 0, "", err
	case answer.Code == 213:
		n, err := strconv.ParseInt(strings.TrimSpace(answer.Text), 10, 64)
		if err != nil || n < 0 {
			return 0, "", fmt.Errorf("the server says that the size is %q", answer.Text)
		}
		size = n
	case answer.Code == 550:
		return 0, "", answer
	}
	answer, err := s.command(0, "MDTM %s", f.path)
	if err != nil {
		return 0, "", err
	}
	if answer.Code != 213 {
		return size, "", nil
	}
	return size, strings.TrimSpace(answer.Text), nil
}

// A transfer is a file on its way.
type transfer struct {
	session *session
	data    *watched
}

// Read reads the data connection. That it ended does not mean that the file did: the control connection tells.
func (t *transfer) Read(p []byte) (int, error) {
	n, err := t.data.Read(p)
	if err == nil || !errors.Is(err, io.EOF) {
		return n, err
	}
	if n > 0 {
		return n, nil
	}
	// Over TLS some servers wait for the end of the data connection before they say that all is well.
	_ = t.data.Close() // all of it was read
	if _, err := t.session.reply("RETR", 2); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	return 0, io.EOF
}

// Close gives both connections up.
func (t *transfer) Close() error {
	_ = t.data.Close() // what counts has been read
	t.session.quit()
	return nil
}
