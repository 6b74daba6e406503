package dolly_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/liveboot/liveboot/pkg/fetch/dolly"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/ring"
	"github.com/liveboot/liveboot/pkg/fetch/dolly/server"
)

// transcripts are the files in testdata, by the tests that wrote them: LIVEBOOT_DOLLY=… LIVEBOOT_RECORD=$PWD/testdata go test -run TestPrograms.
func transcripts() map[string]string {
	return map[string]string{
		"TestPrograms/0.6x,_program_serves_one_of_ours":           "server-0.6x.txt",
		"TestPrograms/0.7x,_program_serves_one_of_ours":           "server-0.7x.txt",
		"TestPrograms/0.7x,_password,_program_serves_one_of_ours": "server-0.7x-password.txt",
		"TestPrograms/0.6x,_we_serve_one_program":                 "node-0.6x.txt",
		"TestPrograms/0.7x,_we_serve_one_program":                 "node-0.7x.txt",
	}
}

// transcribed is the size in bytes of the image in the transcripts.
const transcribed = 8<<20 + 5

func transcriptOf(test string) string { return transcripts()[test] }

// A recorder writes down what goes over a connection: a line for what one side says in one go, with who says it.
type recorder struct {
	net.Conn
	file  string
	mutex sync.Mutex
	said  []saying
}

// A saying is what one side says.
type saying struct {
	ours bool
	text []byte
}

func (r *recorder) add(ours bool, p []byte) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if last := len(r.said) - 1; last >= 0 && r.said[last].ours == ours {
		r.said[last].text = append(r.said[last].text, p...)
	} else if len(p) > 0 {
		r.said = append(r.said, saying{ours, slices.Clone(p)})
	}
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.add(false, p[:n])
	return n, err
}

func (r *recorder) Write(p []byte) (int, error) {
	n, err := r.Conn.Write(p)
	r.add(true, p[:n])
	return n, err
}

// save appends the conversation to the file.
func (r *recorder) save() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var b bytes.Buffer
	for _, s := range r.said {
		who := "program"
		if s.ours {
			who = "ours"
		}
		fmt.Fprintf(&b, "%s %q\n", who, s.text)
	}
	if err := os.WriteFile(r.file, b.Bytes(), 0o644); err != nil {
		panic(err)
	}
}

// A recording is a listener whose connections are written down.
type recording struct {
	net.Listener
	t *testing.T
}

func (r *recording) Accept() (net.Conn, error) {
	conn, err := r.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return record(r.t, conn), nil
}

func readTranscript(t *testing.T, name string) []saying {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var said []saying
	for lines := bufio.NewScanner(file); lines.Scan(); {
		who, quoted, _ := strings.Cut(lines.Text(), " ")
		text, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatalf("%s: %q: %v", name, lines.Text(), err)
		}
		said = append(said, saying{who == "ours", []byte(text)})
	}
	return said
}

// replay says what the program said, and compares what we say with what we said to the program.
func replay(conn net.Conn, said []saying) error {
	for i, s := range said {
		if !s.ours {
			if _, err := conn.Write(s.text); err != nil {
				return fmt.Errorf("line %d: %w", i+1, err)
			}
			continue
		}
		got := make([]byte, len(s.text))
		n, err := io.ReadFull(conn, got)
		if !bytes.Equal(got, s.text) {
			return fmt.Errorf("line %d: we say %q, %v, and said %q to the program", i+1, got[:n], err, s.text)
		}
	}
	return nil
}

// TestTranscripts replays what the programs said.
func TestTranscripts(t *testing.T) {
	image := noise(transcribed)
	t.Run("servers", func(t *testing.T) {
		for name, password := range map[string]string{"server-0.6x.txt": "", "server-0.7x.txt": "", "server-0.7x-password.txt": "hush"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := newLab(t)
				m := l.start(1, func(o *dolly.Options, _ *machine) {
					o.Password = password
					o.Identity = func() (dolly.Identity, error) {
						return dolly.Identity{Addresses: []netip.Addr{netip.MustParseAddr("10.9.1.2")}}, nil
					}
				})
				data := l.connect(0, 1, ring.DataPort)
				go data.Write(image)
				if err := replay(l.connect(0, 1, ring.ControlPort), readTranscript(t, name)); err != nil {
					t.Error(err)
				}
				m.whole(t, "node", image)
			})
		}
	})
	t.Run("nodes", func(t *testing.T) {
		for name, dialect := range map[string]ring.Dialect{"node-0.6x.txt": ring.Dialect06, "node-0.7x.txt": ring.Dialect07} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := newLab(t)
				said := readTranscript(t, name)
				data, control := l.listen(1, ring.DataPort), l.listen(1, ring.ControlPort)
				done := l.serve(server.Server{Hosts: []string{"10.9.1.2"}, Dialect: dialect, Name: "server", Outfile: outfile(t, dialect, said), Dial: l.insteadOf("10.9.1.2", 1)},
					bytes.NewReader(image))
				received := make(chan []byte, 1)
				go func() {
					conn, err := data.Accept()
					if err != nil {
						return
					}
					defer conn.Close()
					got, _ := io.ReadAll(io.LimitReader(conn, int64(len(image))))
					received <- got
				}()
				conn, err := control.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if err := replay(conn, said); err != nil {
					t.Error(err)
				}
				if !bytes.Equal(<-received, image) {
					t.Error("what was sent is not the image")
				}
				if got := <-done; got.err != nil || len(got.Complete) != 1 {
					t.Errorf("Send = %+v", got)
				}
			})
		}
	})
}

// listen waits for connections to a port of machine i.
func (l *lab) listen(i, port int) net.Listener {
	l.t.Helper()
	listener, err := l.options(i).Listen(l.t.Context(), port)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { listener.Close() })
	return listener
}

// insteadOf connects to machine i when host is asked for.
func (l *lab) insteadOf(host string, i int) ring.Dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return l.dial(0)(ctx, network, strings.Replace(address, host, l.host(i), 1))
	}
}

// outfile is the name of the file in the configuration that we sent.
func outfile(t *testing.T, d ring.Dialect, said []saying) string {
	t.Helper()
	for _, s := range said {
		if i := bytes.Index(s.text, []byte("infile ")); s.ours && i >= 0 {
			c, err := ring.ParseConfig(d, s.text[i:])
			if err != nil {
				t.Fatal(err)
			}
			return c.Outfile
		}
	}
	t.Fatal("the transcript has no configuration")
	return ""
}
