/*
 * Process 1 of a live system that is nothing else: writes what it was given on the console and powers the machine off. It is in C, since the
 * start of a Go program already changes limits and signals. Each line is "BARE <name>: <value>", the last one BARE-END.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <termios.h>
#include <unistd.h>

static FILE *console;

/* The kernel's limit of messages is lifted by none: what is written to the console itself is never dropped. */
static void file(const char *name, const char *path)
{
	FILE *f = fopen(path, "r");
	int c, start = 1;

	if (!f)
		return;
	while ((c = getc(f)) != EOF) {
		if (start)
			fprintf(console, "BARE %s: ", name);
		start = c == '\n' || c == '\0';
		putc(start ? '\n' : c, console);
	}
	if (!start)
		putc('\n', console);
	fclose(f);
}

static void link_(const char *name, const char *path)
{
	char to[4096];
	ssize_t n = readlink(path, to, sizeof to - 1);

	if (n >= 0) {
		to[n] = 0;
		fprintf(console, "BARE %s: %s\n", name, to);
	}
}

static void number(const char *name, long value)
{
	fprintf(console, "BARE %s: %ld\n", name, value);
}

/* Calls f with the name of each entry of a folder that begins with a digit or is in a folder of names. */
static void each(const char *folder, void (*f)(const char *))
{
	DIR *d = opendir(folder);
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			f(e->d_name);
	closedir(d);
}

static void descriptor(const char *fd)
{
	char name[300], path[300];

	/* Those that this program opened itself: the console, and the folder that is being read. */
	if (atoi(fd) == fileno(console))
		return;
	snprintf(path, sizeof path, "/proc/1/fd/%s", fd);
	struct stat open_, self;
	if (!stat(path, &open_) && !stat("/proc/1/fd", &self) && open_.st_dev == self.st_dev && open_.st_ino == self.st_ino)
		return;
	snprintf(name, sizeof name, "fd %s", fd);
	link_(name, path);
	snprintf(path, sizeof path, "/proc/1/fdinfo/%s", fd);
	file(name, path);
}

static void namespace_(const char *ns)
{
	char name[300], path[300];

	snprintf(name, sizeof name, "ns %s", ns);
	snprintf(path, sizeof path, "/proc/1/ns/%s", ns);
	link_(name, path);
}

static void process(const char *pid)
{
	char path[300];

	if (atoi(pid) <= 0)
		return;
	snprintf(path, sizeof path, "/proc/%s/stat", pid);
	file("process", path);
}

static void terminal(void)
{
	struct termios t;

	if (tcgetattr(0, &t)) {
		fprintf(console, "BARE terminal: %s\n", strerror(errno));
		return;
	}
	fprintf(console, "BARE terminal: %#x %#x %#x %#x %u", t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag, (unsigned)cfgetospeed(&t));
	for (int i = 0; i < 17; i++)
		fprintf(console, " %d", t.c_cc[i]);
	putc('\n', console);
}

static void calls(void)
{
	struct itimerval timer;
	char name[40];

	for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++) {
		snprintf(name, sizeof name, "timer %d", which);
		if (!getitimer(which, &timer))
			number(name, timer.it_value.tv_sec * 1000000 + timer.it_value.tv_usec);
	}
	number("sid", getsid(0));
	number("pgid", getpgid(0));
	number("subreaper", ({ int v = -1; prctl(PR_GET_CHILD_SUBREAPER, &v); v; }));
	number("death signal", ({ int v = -1; prctl(PR_GET_PDEATHSIG, &v); v; }));
	number("dumpable", prctl(PR_GET_DUMPABLE));
	number("keep caps", prctl(PR_GET_KEEPCAPS));
	number("secure bits", prctl(PR_GET_SECUREBITS));
	number("no huge pages", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	number("timer slack", prctl(PR_GET_TIMERSLACK));
	number("nice", getpriority(PRIO_PROCESS, 0));
	number("io priority", syscall(SYS_ioprio_get, 1, 0));
}

int main(int argc, char **argv, char **envp)
{
	static const char *const files[] = { "status", "limits", "comm", "oom_score_adj", "personality", "coredump_filter", "cgroup", "stat" };
	static const char *const links[] = { "cwd", "root", "exe" };
	char name[300], path[300];

	console = fopen("/dev/console", "we");
	if (!console)
		goto off;
	if (access("/proc/1/status", F_OK)) {
		mkdir("/proc", 0755);
		mount("proc", "/proc", "proc", 0, NULL);
	}
	fputs("\n", console);
	for (int i = 0; i < argc; i++) {
		snprintf(name, sizeof name, "argument %d", i);
		fprintf(console, "BARE %s: %s\n", name, argv[i]);
	}
	for (; *envp; envp++)
		fprintf(console, "BARE environment: %s\n", *envp);
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		snprintf(path, sizeof path, "/proc/1/%s", files[i]);
		file(files[i], path);
	}
	for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
		snprintf(path, sizeof path, "/proc/1/%s", links[i]);
		link_(links[i], path);
	}
	each("/proc/1/fd", descriptor);
	each("/proc/1/ns", namespace_);
	each("/proc", process);
	terminal();
	calls();
	file("sysctl panic", "/proc/sys/kernel/panic");
	file("sysctl printk", "/proc/sys/kernel/printk");
	file("sysctl printk_devkmsg", "/proc/sys/kernel/printk_devkmsg");
	file("sysctl core_pattern", "/proc/sys/kernel/core_pattern");
	file("sysctl hostname", "/proc/sys/kernel/hostname");
	file("mounts", "/proc/self/mountinfo");
	file("memory", "/proc/meminfo");
	file("zones", "/proc/zoneinfo");
	fputs("BARE-END\n", console);
	fflush(console);
off:
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}
