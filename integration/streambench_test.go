package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/integration/sourcetree"
	"github.com/liveboot/liveboot/qemu"
)

const (
	// streamBenchTime is how long a machine may take for all that is measured in it, under TCG on a busy host.
	streamBenchTime = 40 * time.Minute
	// streamBenchRounds is how often everything is measured in a machine. Reported are medians.
	streamBenchRounds = 3
	// streamBenchPath is where the server has the image.
	streamBenchPath = "/bench.iso"
)

// A streamBench is an image on a server, for the machines that are measured one after the other.
type streamBench struct {
	*streamSite
	b    *testing.B
	url  string
	size int64
}

func newStreamBench(b *testing.B) *streamBench {
	b.Helper()
	notShort(b)
	iso, err := sourcetree.ISO(buildContext(), os.Stderr)
	if err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(iso)
	if err != nil {
		b.Fatal(err)
	}
	s := &streamBench{streamSite: newStreamSite(b), b: b, size: info.Size()}
	s.url = s.putImage(b, streamBenchPath, iso)
	return s
}

// A benchMachine is one of the machines, with one processor. Its live system does what it is told.
type benchMachine struct {
	*streamed
	bench *streamBench
}

// boot starts a machine, and waits until its live system is there.
func (s *streamBench) boot(name, words string) *benchMachine {
	s.b.Helper()
	socket := filepath.Join(s.b.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		s.b.Fatal(err)
	}
	defer l.Close()
	m := &streamed{machine: bootWithin(s.b, streamBenchTime, "ip=dhcp root=live:"+s.url+" "+words, named(name), func(c *qemu.Config) {
		c.MemoryMiB = 2048
		c.Extra = []string{"-chardev", "socket,id=agent,path=" + socket, "-device", "isa-serial,chardev=agent,index=1"}
	})}
	if m.conn, err = l.Accept(); err != nil {
		s.b.Fatal(err)
	}
	s.b.Cleanup(func() { m.conn.Close() })
	m.answers = bufio.NewReader(m.conn)
	m.see(said(handoff, ""), anyFailure())
	m.until("streamlive ready")
	return &benchMachine{m, s}
}

// off switches the machine off.
func (m *benchMachine) off() {
	m.t.Helper()
	if _, err := m.conn.Write([]byte("echo o >/proc/sysrq-trigger\n")); err != nil {
		m.t.Fatal(err)
	}
	m.exits("guest-shutdown")
	m.neverSaid(diskTrouble())
}

// number has the live system print a number.
func (m *benchMachine) number(command string) float64 {
	m.t.Helper()
	n, err := strconv.ParseFloat(strings.TrimSpace(m.do(command)), 64)
	if err != nil {
		m.t.Fatal(err)
	}
	return n
}

// download is the rate of a plain download of a part of the image, with curl, in MiB/s. Nothing is kept.
func (m *benchMachine) download(offset, length int64) float64 {
	m.t.Helper()
	command := fmt.Sprintf("curl -sS -o /dev/null -r %d-%d -w '%%{speed_download}\\n' %s", offset, offset+length-1, m.bench.url)
	return m.number(command) / (1 << 20)
}

// becomes waits until the streaming process is in a state.
func (m *benchMachine) becomes(state string) {
	m.t.Helper()
	m.do(`until grep -q '"state":"` + state + `"' /run/liveboot/stream.json; do sleep 1; done`)
}

// A fioRead is what fio says of reads, in its JSON format.
type fioRead struct {
	Bytes   int64   `json:"io_bytes"`
	Rate    float64 `json:"bw_bytes"` // bytes per second
	IOPS    float64 `json:"iops"`
	Latency struct {
		Mean float64 `json:"mean"` // nanoseconds
	} `json:"lat_ns"`
}

// rate is in MiB/s.
func (r fioRead) rate() float64 { return r.Rate / (1 << 20) }

// fio reads a part of the device of the image, past the kernel's cache.
func (m *benchMachine) fio(offset, size int64, options string) fioRead {
	m.t.Helper()
	command := fmt.Sprintf("fio --name=read --filename=/dev/dm-0 --readonly --direct=1 --thread --output-format=json --offset=%d --size=%d %s",
		offset, size, options)
	text := m.do(command)
	var r struct {
		Jobs []struct {
			Read fioRead `json:"read"`
		} `json:"jobs"`
	}
	_, object, _ := strings.Cut(text, "{") // there may be warnings before it
	if err := json.Unmarshal([]byte("{"+object), &r); err != nil || len(r.Jobs) != 1 || r.Jobs[0].Read.Bytes == 0 {
		m.t.Fatalf("%s: %v, want one job that has read, in:\n%s", command, err, text)
	}
	return r.Jobs[0].Read
}
