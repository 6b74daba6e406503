package clock

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

const (
	// ntpPort is the port of RFC 5905, section 7.2.
	ntpPort = 123
	// tryTime is how long an answer is waited for, tries how often the question is sent.
	tryTime = 2 * time.Second
	tries   = 2
)

// sntp asks for the time as RFC 4330 and RFC 5905, section 14, have a simple client do it.
type sntp struct {
	port    uint16
	timeout time.Duration
	tries   int
	// pivot is a time less than 68 years away from the right one: a timestamp does not say in which of NTP's eras it is.
	pivot time.Time
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
}

// query asks server for the time. Nothing but an answer to our own question ends the waiting.
func (s sntp) query(ctx context.Context, server netip.Addr) (time.Time, error) {
	conn, err := s.dial(ctx, "udp", netip.AddrPortFrom(server, s.port).String())
	if err != nil {
		return time.Time{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // which ends a Read that waits
	defer stop()
	for range s.tries {
		now, tryErr := s.try(conn)
		if ctx.Err() != nil {
			return time.Time{}, context.Cause(ctx)
		}
		if tryErr == nil || errors.As(tryErr, new(refusal)) {
			return now, tryErr
		}
		// What was heard is of more use than that then nothing more came.
		if err == nil || !errors.Is(tryErr, os.ErrDeadlineExceeded) {
			err = tryErr
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("no answer to %d questions in %s", s.tries, time.Duration(s.tries)*s.timeout)
	}
	return time.Time{}, err
}

// try sends one question and waits for its answer.
func (s sntp) try(conn net.Conn) (time.Time, error) {
	question := newQuestion()
	sent := time.Now()
	if _, err := conn.Write(question[:]); err != nil {
		return time.Time{}, err
	}
	deadline := sent.Add(s.timeout)
	var heard error
	for {
		if err := conn.SetReadDeadline(deadline); err != nil {
			return time.Time{}, err
		}
		var buffer [1024]byte // more than 48 bytes are extensions, which are not looked at
		n, err := conn.Read(buffer[:])
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && heard != nil {
				err = heard
			}
			return time.Time{}, err
		}
		a, err := parseAnswer(buffer[:n], question)
		switch {
		case errors.Is(err, errForeign):
			heard = err
			continue
		case err != nil:
			return time.Time{}, err
		}
		return a.time(time.Since(sent), s.pivot), nil
	}
}

// A packet is 48 bytes, RFC 5905, section 7.3.
const packetSize = 48

// Where the fields of a packet are.
const (
	atStratum    = 1
	atDelay      = 4
	atDispersion = 8
	atReference  = 12
	atOrigin     = 24
	atReceive    = 32
	atTransmit   = 40
)

const (
	version      = 4
	modeClient   = 3
	modeServer   = 4
	leapUnknown  = 3  // the server is not synchronised
	maxStratum   = 15 // 16 is not synchronised
	maxDistance  = 16 * time.Second
	kissOfDeath  = 0 // as the stratum
	bitsFraction = 32
)

// newQuestion is a packet with a random number for its transmit timestamp: the clock is wrong anyway, and who doesn't see the question
// can't answer it. Nothing else of RFC 5905 is needed in it.
func newQuestion() [packetSize]byte {
	var q [packetSize]byte
	q[0] = version<<3 | modeClient
	_, _ = rand.Read(q[atTransmit:]) // never fails
	return q
}

// errForeign is about a packet that is not the answer to our question.
var errForeign = errors.New("what came was no answer to the question")

// A refusal is an answer that says not to ask again.
type refusal string

func (r refusal) Error() string { return "refuses to answer (" + string(r) + ")" }

// An answer has what matters of a server's packet: how long it took over it, and when it sent it.
type answer struct {
	busy     time.Duration
	transmit uint64
}

// parseAnswer checks a packet against the question, as RFC 4330, section 5, asks for.
func parseAnswer(packet []byte, question [packetSize]byte) (answer, error) {
	if len(packet) < packetSize {
		return answer{}, fmt.Errorf("%w: %d bytes", errForeign, len(packet))
	}
	timestamp := func(at int) uint64 { return binary.BigEndian.Uint64(packet[at:]) }
	if mode := packet[0] & 7; mode != modeServer {
		return answer{}, fmt.Errorf("%w: mode %d", errForeign, mode)
	}
	if timestamp(atOrigin) != binary.BigEndian.Uint64(question[atTransmit:]) {
		return answer{}, fmt.Errorf("%w: wrong origin timestamp", errForeign)
	}
	if packet[atStratum] == kissOfDeath {
		return answer{}, refusal(fmt.Sprintf("%q", packet[atReference:atReference+4]))
	}
	receive, transmit := timestamp(atReceive), timestamp(atTransmit)
	// A distance is in seconds with 16 bits behind the point.
	distance := func(at int) time.Duration {
		return time.Duration(binary.BigEndian.Uint32(packet[at:])) * time.Second >> 16
	}
	switch {
	case packet[0]>>6 == leapUnknown, packet[atStratum] > maxStratum, receive == 0, transmit == 0:
		return answer{}, errors.New("its own clock is not synchronised")
	case distance(atDelay)/2+distance(atDispersion) >= maxDistance:
		return answer{}, fmt.Errorf("its own clock may be wrong by %s", distance(atDelay)/2+distance(atDispersion))
	}
	return answer{span(receive, transmit), transmit}, nil
}

// span is the time between two timestamps less than 68 years apart, each with 32 bits of seconds and 32 behind the point.
func span(from, to uint64) time.Duration {
	d := int64(to - from)
	return time.Duration(d>>bitsFraction)*time.Second + fraction(uint64(d))
}

// fraction is the part of a timestamp behind the point.
func fraction(timestamp uint64) time.Duration {
	return time.Duration((timestamp & (1<<bitsFraction - 1)) * uint64(time.Second) >> bitsFraction)
}

// time is the time when the answer arrived, a whole trip after the question. Both ways are believed to take as long.
func (a answer) time(trip time.Duration, pivot time.Time) time.Time {
	way := max(trip-a.busy, 0) / 2
	if a.busy < 0 {
		way = trip / 2
	}
	return date(a.transmit, pivot).Add(way)
}

// date is the time of a timestamp that is nearest to the pivot: seconds since 1900, which begin anew in 2036 (RFC 5905, section 6).
func date(timestamp uint64, pivot time.Time) time.Time {
	epoch := time.Date(1900, time.January, 1, 0, 0, 0, 0, time.UTC)
	whole := pivot.Unix() - epoch.Unix()
	seconds := whole + int64(int32(uint32(timestamp>>bitsFraction)-uint32(whole)))
	return time.Unix(epoch.Unix()+seconds, int64(fraction(timestamp))).UTC()
}
