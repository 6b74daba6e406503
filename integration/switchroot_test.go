package integration

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/integration/initiso"
	"github.com/liveboot/liveboot/pkg/kernel/memory"
	"github.com/liveboot/liveboot/qemu"
)

// bareWords are on the kernel's line of every machine with the bare init: what the kernel makes of them is passed on by us as by itself.
const bareWords = "ip=dhcp GREETING=hello three quiet.words=no four"

// The live system's init finds what it would find if the kernel itself had started it: arguments, environment, descriptors, limits, signals,
// session, terminal and everything else that a process is given. Beside it there is no process, and nothing is left mounted.
func TestSwitchRoot(t *testing.T) {
	iso, initramfs, err := initiso.Bare(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	words := bareWords + " root=live:" + nginx(t, iso, nil)
	const arguments = " -- one two"
	var direct, ours map[string]string
	// The group ends when both of its machines have.
	t.Run("machines", func(t *testing.T) {
		t.Run("the kernel's own", func(t *testing.T) {
			t.Parallel()
			direct = boot(t, words+arguments, func(c *qemu.Config) { c.Initrd = initramfs }).bare()
		})
		t.Run("ours", func(t *testing.T) {
			t.Parallel()
			m := boot(t, words+arguments)
			ours = m.bare()
			checkMemory(t, m, ours)
			checkAlone(t, ours)
			checkMounts(t, ours)
		})
	})
	if diff := cmp.Diff(given(direct), given(ours)); diff != "" {
		t.Errorf("what the init was given (-by the kernel +by us):\n%s", diff)
	}
}

// What a person has left running and mounted in a shell is gone in the live system.
func TestSwitchRootAfterShell(t *testing.T) {
	full(t)
	t.Parallel()
	iso, _, err := initiso.Bare(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m := boot(t, bareWords+" rd.break=handoff root=live:"+nginx(t, iso, nil))
	m.see(shellBanner(), anyFailure())
	m.run("sleep 1000 & true")
	m.run("mkdir /mnt && mount -t tmpfs disk /mnt && touch /mnt/file")
	m.see(prompt())
	m.enter("exit")
	report := m.bare()
	checkAlone(t, report)
	checkMounts(t, report)
}

// bare waits for the report of the bare init and for the machine's end, and returns the report by name.
func (m *machine) bare() map[string]string {
	m.t.Helper()
	m.see(regexp.MustCompile("^"+initiso.BareEnd), anyFailure())
	report := reported(m.Lines(), initiso.BareLine)
	m.exits("guest-shutdown")
	return report
}

// reported is what lines of the form "<start><name>: <value>" say, by the name.
func reported(lines []qemu.Line, start string) map[string]string {
	report := map[string]string{}
	for _, l := range lines {
		if _, rest, ok := strings.Cut(l.Text, start); ok {
			name, value, _ := strings.Cut(rest, ": ")
			report[name] += value + "\n"
		}
	}
	return report
}

// given is the part of a report that has to be the same, however process 1 was started.
func given(report map[string]string) map[string]string {
	g := maps.Clone(report)
	for _, name := range []string{
		"argument 0", "exe", // the program's path: /init in an initramfs, /sbin/init elsewhere
		"mounts", "memory", "zones", "process", // looked at on their own
	} {
		delete(g, name)
	}
	for name, unwanted := range map[string]*regexp.Regexp{
		// How much memory it uses and how often it was interrupted is of this run. The kernel derives the number of signals that may wait, and of
		// processes, from the memory that the initramfs left when it started.
		"status": regexp.MustCompile(`^(?:Rss|Vm|SigQ:|\w+_ctxt_switches:)`),
		"limits": regexp.MustCompile(`^Max (?:processes|pending signals)`),
		// The console's node is on another file system.
		"fd 0": regexp.MustCompile(`^(?:mnt_id|ino):`), "fd 1": regexp.MustCompile(`^(?:mnt_id|ino):`), "fd 2": regexp.MustCompile(`^(?:mnt_id|ino):`),
	} {
		g[name] = lines(g[name], func(line string) bool { return !unwanted.MatchString(line) })
	}
	for fd := range 3 {
		// O_LARGEFILE, which open(2) sets on 64 bits and the kernel's own open does not.
		name := "fd " + strconv.Itoa(fd)
		g[name] = strings.Replace(g[name], "flags:\t0100002", "flags:\t02", 1)
	}
	g["stat"] = statFields(g["stat"])
	return g
}

// lines keeps those that are wanted.
func lines(text string, wanted func(string) bool) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if wanted(line) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// statFields are those of proc_pid_stat(5) that a process is given: parent, group, session and terminal, priorities, signals, scheduling.
func statFields(stat string) string {
	fields := strings.Fields(stat)
	var kept []string
	for i, field := range fields {
		if slices.Contains([]int{4, 5, 6, 7, 8, 18, 19, 20, 31, 32, 33, 34, 38, 40, 41}, i+1) {
			kept = append(kept, strconv.Itoa(i+1)+"="+field)
		}
	}
	return strings.Join(kept, " ")
}

// checkAlone fails the test if there is a process that is neither process 1 nor a thread of the kernel.
func checkAlone(t *testing.T, report map[string]string) {
	t.Helper()
	const kernelThread = 0x00200000 // PF_KTHREAD
	for line := range strings.Lines(report["process"]) {
		fields := strings.Fields(line[strings.LastIndex(line, ")")+1:])
		flags, err := strconv.ParseUint(fields[6], 10, 64)
		if err != nil {
			t.Fatalf("process %q: %v", line, err)
		}
		if flags&kernelThread == 0 && !strings.HasPrefix(line, "1 ") {
			t.Errorf("there is another process: %s", line)
		}
	}
}

// checkMounts compares the live system's mounts with those of the contract, and what is mounted by the name of a device.
func checkMounts(t *testing.T, report map[string]string) {
	t.Helper()
	var got []string
	for line := range strings.Lines(report["mounts"]) {
		got = append(got, strings.Fields(line)[4])
	}
	slices.Sort(got)
	want := []string{
		"/", "/dev", "/dev/pts", "/proc", "/run", "/run/overlay", "/run/overlay/live", "/run/overlay/rootfsbase", "/run/overlay/squashfs_container", "/sys",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mounted in the live system (-want +got):\n%s", diff)
	}
}

// leastFreed is what the deletion of the initramfs gives back at least, in MiB: it was 20 when this was written. What the figure may change by
// until the live system tells its own is mostLost.
const leastFreed, mostLost = 15, 8

// checkMemory looks at the line about the memory and compares it with what the live system sees.
func checkMemory(t *testing.T, m *machine, report map[string]string) {
	t.Helper()
	i := slices.IndexFunc(m.Lines(), func(l qemu.Line) bool { return freed().MatchString(l.Text) })
	if i < 0 {
		t.Errorf("no line says what the initramfs gave back")
		return
	}
	groups := freed().FindStringSubmatch(m.Lines()[i].Text)
	after, _ := strconv.Atoi(groups[1]) // digits, as the expression has them
	before, _ := strconv.Atoi(groups[2])
	meminfo := regexp.MustCompile(`(?m)^MemAvailable: +(\d+) kB$`).FindStringSubmatch(report["memory"])
	if meminfo == nil {
		t.Fatalf("the live system does not say what memory it has:\n%s", report["memory"])
	}
	live, _ := strconv.Atoi(meminfo[1])
	live = live>>10 + int(memory.Kept(fstest.MapFS{"proc/zoneinfo": {Data: []byte(report["zones"])}})>>20)
	t.Logf("MemAvailable: %d MiB, %d MiB with the initramfs deleted, %d MiB in the live init", before, after, live)
	if after < before+leastFreed || live < after-mostLost {
		t.Errorf("MemAvailable is %d MiB before, %d MiB after the initramfs is deleted, %d MiB in the live init; want %d more, and the same again",
			before, after, live, leastFreed)
	}
}
