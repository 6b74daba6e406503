package ftp

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"time"
	"unicode"
)

// maxReplies is how many bytes a server may say on the control connection for one transfer, the login before it included.
const maxReplies = 1 << 20

// A session is a control connection.
type session struct {
	conn      net.Conn
	config    *tls.Config
	replies   *textproto.Reader
	heard     *io.LimitedReader // how much more it may say
	protected bool              // data connections speak TLS

	stop func() bool // ends the watch of the context
}

// newSession talks on conn for as long as ctx lasts.
func newSession(ctx context.Context, conn net.Conn, config *tls.Config) *session {
	s := &session{config: config}
	s.use(conn)
	s.watch(ctx)
	return s
}

// watch lets the conversation end with ctx, until stop is called.
func (s *session) watch(ctx context.Context) {
	conn := s.conn
	s.stop = context.AfterFunc(ctx, func() { conn.Close() })
}

func (s *session) use(conn net.Conn) {
	s.conn = conn
	s.heard = &io.LimitedReader{R: conn, N: maxReplies}
	s.replies = textproto.NewReader(bufio.NewReader(s.heard))
}

// secure begins TLS. What the server said before it, in the clear, and was not read yet is dropped: nobody knows who said it.
func (s *session) secure() { s.use(tls.Client(s.conn, s.config)) }

func (s *session) close() {
	s.stop()
	_ = s.conn.Close() // nothing more is expected of it
}

// goodbye is how long a server may take to hear that we leave.
const goodbye = time.Second

// quit ends the conversation politely.
func (s *session) quit() {
	_ = s.conn.SetWriteDeadline(time.Now().Add(goodbye))
	_, _ = io.WriteString(s.conn, "QUIT\r\n") // politeness, not more
	s.close()
}

// command sends a command, and returns what reply does. Without an expected class or code any answer will do.
func (s *session) command(want int, format string, args ...any) (*ReplyError, error) {
	line := fmt.Sprintf(format, args...)
	if _, err := io.WriteString(s.conn, line+"\r\n"); err != nil {
		return nil, err
	}
	name, _, _ := strings.Cut(line, " ")
	return s.reply(name, want)
}

// reply reads an answer. It is an error unless it has the code want, or begins with it.
func (s *session) reply(command string, want int) (*ReplyError, error) {
	code, text, err := s.replies.ReadResponse(want)
	if _, unexpected := err.(*textproto.Error); err != nil && !unexpected {
		return nil, err
	}
	answer := &ReplyError{Command: command, Code: code, Text: printable(text)}
	if err != nil {
		return nil, answer
	}
	return answer, nil
}

// printable makes one line of a text, in which nothing moves the cursor.
func printable(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text))
}

// A ReplyError is a server's answer to a command.
type ReplyError struct {
	// Command is empty for what the server says first.
	Command string
	Code    int
	Text    string
}

// Error shows the server's own words.
func (e *ReplyError) Error() string {
	if e.Command == "" {
		return fmt.Sprintf("the server said %d %s", e.Code, e.Text)
	}
	return fmt.Sprintf("the server answered %d %s to %s", e.Code, e.Text, e.Command)
}

// Permanent reports whether the same command will get the same answer (RFC 959 section 4.2.1).
func (e *ReplyError) Permanent() bool { return e.Code >= 500 }

// NotThere reports whether there is no such file for us.
func (e *ReplyError) NotThere() bool { return e.OfFile() && e.Code >= 550 && e.Code <= 553 }

// OfFile reports whether the answer is about the file, and not about who asks for it.
func (e *ReplyError) OfFile() bool { return e.Command == "SIZE" || e.Command == "RETR" }
