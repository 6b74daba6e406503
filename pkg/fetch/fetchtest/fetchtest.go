// Package fetchtest is a web server that goes wrong in every way that a server, or the network before it, can: when it is told to, at
// the byte at which it is told to. It also has what it takes to start real servers.
package fetchtest

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A File is what the server has.
type File struct {
	Data []byte
	// ETag with its quotes; empty for none.
	ETag string
	// Modified is when it was changed; the zero Time for no Last-Modified.
	Modified time.Time
}

// A Break is how an answer ends too early.
type Break int

// Breaks.
const (
	// Whole: it does not.
	Whole Break = iota
	// Reset: the connection is reset.
	Reset
	// Silence: nothing more is sent, until the client gives up.
	Silence
	// EndOfChunks: the answer is chunked, and cut.
	EndOfChunks
	// EndOfConnection: the answer has neither length nor chunks, and ends with the connection.
	EndOfConnection
)

// An Answer is what the server does with one request. The zero Answer is the right one.
type Answer struct {
	// File is the server's file from now on; nil leaves it as it is.
	File *File
	// Refuse resets the connection without an answer.
	Refuse bool
	// Raw is sent in the place of HTTP.
	Raw []byte
	// Status is an answer without the file; 0 is the right status.
	Status int
	// Header is sent beside, or instead of, the right fields.
	Header map[string]string
	// NoRanges sends the whole file whatever was asked for.
	NoRanges bool
	// Beyond sends all that follows the first byte of a range, whatever its last one is.
	Beyond bool
	// Break ends the body at the byte At of the file: what comes before At is sent.
	Break Break
	At    int
	// Pause before each block of the body.
	Pause time.Duration
}

// A Server has one file, at /image, and what is beside it.
type Server struct {
	*httptest.Server
	// Beside are other files by their path, WithFile those that take their place when an Answer changes the file.
	Beside, WithFile map[string][]byte
	// Busy is how often the server answers 503 when it is asked for a file beside.
	Busy map[string]int
	// From are answers to requests that begin at a byte of the file, given once and before all others.
	From map[int]Answer
	// Bad are answers to every request that begins at a byte of the file.
	Bad map[int]Answer
	// Blunt cannot compare: who asks with If-Range gets the whole file.
	Blunt bool
	// Most is how many requests of the file are answered at a time; others get 503 with Retry-After. 0 means any number.
	Most int

	mutex    sync.Mutex
	file     File
	answers  []Answer
	always   bool
	requests []*http.Request
	serving  int
	busiest  int
	closing  chan struct{}
}

// New starts a server that gives the answers, one for each request of the file, and then right ones.
func New(t testing.TB, file File, answers ...Answer) *Server {
	s := prepare(file, answers)
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.close)
	return s
}

// Always starts a server that has one answer for every request of the file.
func Always(t testing.TB, file File, answer Answer) *Server {
	s := New(t, file, answer)
	s.always = true
	return s
}

// NewTLS is New over TLS, with HTTP/2.
func NewTLS(t testing.TB, file File, answers ...Answer) *Server {
	s := prepare(file, answers)
	s.Server = httptest.NewUnstartedServer(s)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.close)
	return s
}

func prepare(file File, answers []Answer) *Server {
	return &Server{file: file, answers: answers, closing: make(chan struct{}), Beside: map[string][]byte{}}
}

func (s *Server) close() {
	close(s.closing)
	s.Server.Close()
}

// Image is the address of the file.
func (s *Server) Image() string { return s.URL + "/image" }

// Busiest returns how many requests of the file were answered at the same time.
func (s *Server) Busiest() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.busiest
}

// served ends what next began.
func (s *Server) served() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.serving--
}

// Requests returns those of the file up to now.
func (s *Server) Requests() []*http.Request {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return append([]*http.Request(nil), s.requests...)
}

// next returns what to do with a request of the file.
func (s *Server) next(r *http.Request) (Answer, File) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	var a Answer
	first, _ := asked(r)
	if bad, ok := s.Bad[first]; ok {
		a = bad
	} else if from, ok := s.From[first]; ok {
		delete(s.From, first)
		a = from
	} else if len(s.answers) > 0 {
		a = s.answers[0]
		if !s.always {
			s.answers = s.answers[1:]
		}
	}
	if a.File != nil {
		s.file = *a.File
		maps.Copy(s.Beside, s.WithFile)
	}
	s.requests = append(s.requests, r)
	if s.serving++; s.Most > 0 && s.serving > s.Most {
		a = Answer{Status: http.StatusServiceUnavailable, Header: map[string]string{"Retry-After": "3"}}
	} else {
		s.busiest = max(s.busiest, s.serving)
	}
	return a, s.file
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/image" {
		s.serveBeside(w, r)
		return
	}
	a, file := s.next(r)
	served := sync.OnceFunc(s.served)
	defer served()
	switch {
	case a.Refuse:
		reset(w)
	case a.Raw != nil:
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			conn.Write(a.Raw)
			conn.Close()
		}
	case a.Status != 0:
		setHeader(w, a)
		w.WriteHeader(a.Status)
	default:
		s.serve(w, r, a, file, served)
	}
}

func (s *Server) serveBeside(w http.ResponseWriter, r *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.Busy[r.URL.Path] > 0 {
		s.Busy[r.URL.Path]--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	data, ok := s.Beside[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Write(data)
}

// reset ends the connection in the rudest way there is.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2 resets the stream
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

func setHeader(w http.ResponseWriter, a Answer) {
	for name, value := range a.Header {
		if value == "" {
			w.Header()[name] = nil
		} else {
			w.Header().Set(name, value)
		}
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, a Answer, file File, served func()) {
	size := len(file.Data)
	first, end, status := s.begin(r, a, file)
	if first >= size && size > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return
	}
	h := w.Header()
	if !a.NoRanges {
		h.Set("Accept-Ranges", "bytes")
	}
	if file.ETag != "" {
		h.Set("ETag", file.ETag)
	}
	if !file.Modified.IsZero() {
		h.Set("Last-Modified", file.Modified.UTC().Format(http.TimeFormat))
	}
	if status == http.StatusPartialContent {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, end-1, size))
	}
	last := end
	if a.Break != Whole {
		last = max(first, min(a.At, end))
	}
	if a.Break == Silence && status == http.StatusPartialContent && last == end {
		a.Break = Whole // the client has all that it asked for, and may ask again, while nobody would listen
	}
	switch a.Break {
	case EndOfConnection:
		s.unframed(w, file.Data[first:last])
		return
	case EndOfChunks:
	default:
		h.Set("Content-Length", strconv.Itoa(end-first))
	}
	setHeader(w, a)
	w.WriteHeader(status)
	s.body(w, r, a, file.Data[first:last], served)
}

// begin returns the first byte that is sent, the one behind the last, and the status.
func (s *Server) begin(r *http.Request, a Answer, file File) (first, end, status int) {
	size := len(file.Data)
	first, last := asked(r)
	if first < 0 || a.NoRanges {
		return 0, size, http.StatusOK
	}
	if condition := r.Header.Get("If-Range"); condition != "" && (s.Blunt || condition != file.ETag &&
		(file.Modified.IsZero() || condition != file.Modified.UTC().Format(http.TimeFormat))) {
		return 0, size, http.StatusOK
	}
	if last < 0 || last >= size || a.Beyond {
		last = size - 1
	}
	return first, last + 1, http.StatusPartialContent
}

// asked returns the first and the last byte of the range that is asked for, each negative where it is not there.
func asked(r *http.Request) (first, last int) {
	n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last)
	if n < 1 {
		return -1, -1
	}
	if n < 2 {
		return first, -1
	}
	return first, last
}

const block = 16 << 10

// body calls served before the last bytes: a client that has them may ask again at once.
func (s *Server) body(w http.ResponseWriter, r *http.Request, a Answer, data []byte, served func()) {
	for len(data) > 0 {
		n := min(block, len(data))
		if a.Pause > 0 {
			select {
			case <-time.After(a.Pause):
			case <-r.Context().Done():
				return
			}
		}
		if n == len(data) && a.Break == Whole {
			served()
		}
		if _, err := w.Write(data[:n]); err != nil {
			return
		}
		data = data[n:]
	}
	if a.Break != Whole {
		http.NewResponseController(w).Flush()
	}
	switch a.Break {
	case Reset:
		reset(w)
	case EndOfChunks:
		panic(http.ErrAbortHandler)
	case Silence:
		select {
		case <-r.Context().Done():
		case <-s.closing:
		}
	}
}

// unframed answers as HTTP/1.0 did.
func (s *Server) unframed(w http.ResponseWriter, data []byte) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	io.Copy(conn, io.MultiReader(strings.NewReader("HTTP/1.0 200 OK\r\n\r\n"), bytes.NewReader(data)))
}

// Next takes the place of the answers that are left.
func (s *Server) Next(answers ...Answer) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.answers = answers
}

// More changes Most.
func (s *Server) More(most int) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.Most = most
}

// File returns what the server has now.
func (s *Server) File() File {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.file
}
