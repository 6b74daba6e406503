# What a person needs is three targets: `make initramfs`, `make run`, `make test`. All of them install what they lack on
# Debian and Ubuntu (asking for sudo), and say what to install elsewhere.
#
#   KERNEL=, MODULES=   the kernel image to boot and its folder lib/modules/<version>; default: the newest installed one
#   ARCH=               arm64 or amd64, for a kernel of another architecture than this machine's
#   ISO=                a KIWI live ISO to take kernel, modules and firmware out of
#   OUT=                where the pair goes; default: build
#   FLAGS=              more flags for mkinitramfs, `-file ca.pem:/etc/ssl/certs/ca.pem` for example

OUT        ?= build
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
# Machines and the web servers beside them share the processors: two at a time is enough for two. With -v the tests that are left out say so.
VMTEST      = LIVEBOOT_CONSOLE=off go test -v -count=1 -p 1 -parallel 2

export CGO_ENABLED ?= 0

# apt-get runs once at a time, and before what needs its packages.
.NOTPARALLEL:

.PHONY: initramfs run test test-full unit vm lint bench fuzz packages-build packages-run packages-test packages-full clean

initramfs: packages-build
	go run ./cmds/mkinitramfs -o $(OUT) $(if $(ISO),-iso $(ISO)) $(if $(KERNEL),-kernel $(KERNEL)) $(if $(MODULES),-modules $(MODULES)) $(if $(ARCH),-arch $(ARCH)) $(FLAGS)

# Boots the pair in QEMU in this terminal, with a small live ISO that has a shell.
run: packages-run initramfs
	go run ./qemu/demo -pair $(OUT) $(RUN)

# What every change must pass: about ten minutes, twenty on a machine that has built nothing yet.
test: packages-test lint unit vm

# The whole matrix.
test-full: packages-full lint unit
	LIVEBOOT_TEST=full $(VMTEST) -timeout 150m ./qemu/... ./integration/...

# Tests that need neither a machine nor root.
unit:
	CGO_ENABLED=1 go test -race ./cmds/... ./pkg/...
	go test ./initramfs/...

vm:
	$(VMTEST) -timeout 75m ./qemu/... ./integration/...

lint:
	@files=$$(gofmt -l cmds pkg initramfs qemu integration); if [ -n "$$files" ]; then echo "run gofmt -w on:" $$files; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...

bench:
	go test -run '^$$' -bench . ./pkg/... ./initramfs/...

# Each fuzz test for a short while.
fuzz:
	@go list -f '{{$$p := .}}{{range .TestGoFiles}}{{$$p.ImportPath}} {{$$p.Dir}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$$p.ImportPath}} {{$$p.Dir}}/{{.}}{{"\n"}}{{end}}' ./... | \
	while read -r package file; do \
		for name in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file"); do \
			echo "$$package $$name"; go test -run '^$$' -fuzz "^$$name\$$" -fuzztime 20s -fuzzminimizetime 10x "$$package" || exit 1; \
		done; \
	done

packages-build packages-run packages-test packages-full: packages-%:
	@.ci/packages $*

clean:
	rm -rf $(OUT)
