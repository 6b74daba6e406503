package integration

import (
	"testing"

	"github.com/liveboot/liveboot/integration/sourcetree"
)

// BenchmarkStreamSources reads what a build of Debian's kernel reads of its sources, each file once and in that order, in a live system
// that has them in its root, with one processor: "cold", when nothing of them has come, and again when the device has become the RAM disk
// (complete-s); "lazy", when nothing but them comes; "filled", when all is there, and still read from the streaming process;
// "downloaded", from the RAM disk of an ordinary download. In read-s it is how long that takes, in fetched-MB what was sent meanwhile,
// for the background too, in done-s when it is over, since the kernel's start.
//
//	go test -run '^$' -bench StreamSources ./integration
func BenchmarkStreamSources(b *testing.B) {
	for _, state := range []struct{ name, words, awaited string }{
		{"cold", "rd.liveboot.stream=on", ""},
		{"lazy", "rd.liveboot.stream=lazy", ""},
		// With a digest that is another one, the device stays with the process, which has it all.
		{"filled", "rd.liveboot.stream=on rd.liveboot.sha256=" + digest(nil), "mismatch"},
		{"downloaded", "", ""},
	} {
		b.Run(state.name, func(b *testing.B) {
			s := newStreamBench(b)
			for b.Loop() {
				m := s.boot(state.name, state.words)
				if state.awaited != "" {
					m.becomes(state.awaited)
				}
				before := s.bytes(streamBenchPath)
				b.ReportMetric(m.build(), "read-s")
				b.ReportMetric(float64(s.bytes(streamBenchPath)-before)/1e6, "fetched-MB")
				b.ReportMetric(m.number("cut -d' ' -f1 /proc/uptime"), "done-s")
				if state.name == "cold" {
					m.becomes("complete")
					b.ReportMetric(m.build(), "complete-s")
				}
				m.off()
			}
			b.ReportMetric(float64(s.size)/1e6, "image-MB")
		})
	}
}

// build reads what a build reads, of which the kernel remembers nothing, and says how many seconds that takes.
func (m *benchMachine) build() float64 {
	m.t.Helper()
	m.do("echo 3 >/proc/sys/vm/drop_caches")
	return m.number("began=$(date +%s%N); xargs -a "+sourcetree.Reads+" cat >/dev/null; echo $(($(date +%s%N) - began))") / 1e9
}
