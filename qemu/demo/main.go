// Demo boots liveboot in QEMU in the terminal, from the network to a shell in a live system: it makes a small live ISO,
// serves it over HTTP on the loopback, and starts the pair that mkinitramfs built.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/liveboot/liveboot/qemu"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	pair := flag.String("pair", "build", "`folder` with vmlinuz and initrd, as mkinitramfs makes them")
	iso := flag.String("iso", "", "live ISO to boot (default: a small one, made on the spot)")
	words := flag.String("append", "", "further kernel `options`")
	memory := flag.Int("memory", 1024, "memory of the machine, in `MiB`")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("argument %q: only flags are known, see -help", flag.Arg(0))
	}
	kernel, initrd := filepath.Join(*pair, "vmlinuz"), filepath.Join(*pair, "initrd")
	for _, file := range []string{kernel, initrd} {
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("find the pair: %w: build it first, with make initramfs", err)
		}
	}
	if *iso == "" {
		fmt.Println("demo: making a small live ISO (the first time takes about a minute) …")
		var err error
		if *iso, err = makeISO(ctx, kernel); err != nil {
			return err
		}
	}
	url, closeServer, err := serve(*iso)
	if err != nil {
		return err
	}
	defer closeServer()
	return start(ctx, qemu.Config{
		Kernel: kernel, Initrd: initrd, MemoryMiB: *memory, CPUs: 2, NICs: []qemu.NIC{{}}, NoReboot: true,
		Append: append([]string{"console=ttyS0", "quiet", "ip=dhcp", "root=live:" + url}, strings.Fields(*words)...),
	})
}

// serve offers the file on the loopback and returns its URL as the guest sees it.
func serve(file string) (url string, closer func() error, err error) {
	if _, err := os.Stat(file); err != nil {
		return "", nil, fmt.Errorf("serve the ISO: %w", err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("serve the ISO: %w", err)
	}
	path := "/" + filepath.Base(file)
	mux := http.NewServeMux()
	mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	s := &http.Server{Handler: mux}
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "demo: serve the ISO:", err)
		}
	}()
	return fmt.Sprintf("http://%s:%d%s", qemu.HostAddress, l.Addr().(*net.TCPAddr).Port, path), s.Close, nil
}

// start runs the machine until it powers off or the person ends it.
func start(ctx context.Context, c qemu.Config) error {
	accel, err := qemu.Probe(ctx)
	if err != nil {
		return err
	}
	c.Accel = accel
	cmd, err := c.Command(ctx)
	if err != nil {
		return err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	speed := map[qemu.Accel]string{qemu.TCG: " (no KVM here that runs a guest: some ten times slower than a real machine)"}
	fmt.Printf("demo: kernel options: %s\n", strings.Join(c.Append, " "))
	fmt.Printf("demo: starting QEMU with %s%s. To leave: Ctrl-A, then x.\n\n", accel, cmp.Or(speed[accel], ""))
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run QEMU: %w", err)
	}
	return nil
}
