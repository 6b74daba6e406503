package integration

import (
	"fmt"
	"testing"
)

const (
	// fioPart is how much fio reads of the device in sequence, in bytes, and fioReads how often at random places while nothing has come.
	fioPart  = 8 << 20
	fioReads = 48
	// fioAligned is the size of a part of the image in bytes: of two reads in it, only the first waits for the server.
	fioAligned = 256 << 10
)

// fioFigures are what was measured in a machine, a value for each round.
type fioFigures struct {
	plain []float64 // a plain download, in MiB/s
	// large and small are sequential reads of 1 MiB and of 128 KiB, in parts of a plain download.
	large, small []float64
	// alone is how long a random read of 4 KiB takes, in microseconds, and together how many are done in a second, 16 at a time.
	alone, together []float64
}

// BenchmarkStreamFio reads the device of the image with fio, past the kernel's cache, in a machine with one processor, in three states:
// "cold", when nothing of what is read has come; "filled", when all is there, and still read from the streaming process; "complete", when
// the device is the RAM disk. Sequential reads are reported in parts of a plain download (curl) in the same machine and round, random
// ones as they are: how long one takes, and how many a second are done, 16 at a time. Medians of the rounds.
//
//	go test -run '^$' -bench StreamFio ./integration
func BenchmarkStreamFio(b *testing.B) {
	for _, state := range []struct{ name, words, awaited string }{
		{"cold", "rd.liveboot.stream=lazy", "lazy"},
		// With a digest that is another one, the device stays with the process, which has it all.
		{"filled", "rd.liveboot.stream=on rd.liveboot.sha256=" + digest(nil), "mismatch"},
		{"complete", "rd.liveboot.stream=on", "complete"},
	} {
		b.Run(state.name, func(b *testing.B) {
			s := newStreamBench(b)
			var f fioFigures
			for b.Loop() {
				m := s.boot(state.name, state.words)
				m.becomes(state.awaited)
				m.do("fio --version; curl --version") // so that both are in memory
				for round := range int64(streamBenchRounds) {
					f.measure(m, round, state.name == "cold")
				}
				m.off()
			}
			b.ReportMetric(fetchMedian(f.plain), "plain-MiB/s")
			b.ReportMetric(fetchMedian(f.large), "1M-x-plain")
			b.ReportMetric(fetchMedian(f.small), "128k-x-plain")
			b.ReportMetric(fetchMedian(f.alone), "4k-us")
			b.ReportMetric(fetchMedian(f.together), "4k-16-IOPS")
		})
	}
}

// measure measures once. Each job has a place of its own in each round.
func (f *fioFigures) measure(m *benchMachine, round int64, cold bool) {
	m.t.Helper()
	third := m.bench.size / streamBenchRounds
	job := third / 6
	at := func(n int64) int64 { return (round*third + n*job) / fioAligned * fioAligned }
	random := "--rw=randread --bs=4k --io_size=8M"
	if cold {
		random = fmt.Sprintf("--rw=randread --bs=4k --blockalign=%d --number_ios=%d", fioAligned, fioReads)
	}
	plain := m.download(at(0), 2*job)
	sent := m.bench.bytes(streamBenchPath)
	large := m.fio(at(0), fioPart, "--rw=read --bs=1M")
	small := m.fio(at(1), fioPart, "--rw=read --bs=128k")
	alone := m.fio(at(2), 2*job, random)
	together := m.fio(at(4), 2*job, random+" --ioengine=libaio --iodepth=16")
	if got := m.bench.bytes(streamBenchPath) - sent; cold && got < 2*fioPart || !cold && got > 0 {
		m.t.Errorf("%d bytes were fetched while fio read", got)
	}
	f.plain = append(f.plain, plain)
	f.large, f.small = append(f.large, large.rate()/plain), append(f.small, small.rate()/plain)
	f.alone, f.together = append(f.alone, alone.Latency.Mean/1e3), append(f.together, together.IOPS)
	m.t.Logf("round %d: plain %.1f MiB/s; sequential %.1f, %.1f MiB/s; 4 KiB in %.0f us, %.0f a second",
		round, plain, large.rate(), small.rate(), alone.Latency.Mean/1e3, together.IOPS)
}
