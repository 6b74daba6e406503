# What a person needs is three targets: `make initramfs`, `make run`, `make test`. All of them install what they lack on
# Debian and Ubuntu (asking for sudo), and say what to install elsewhere. For a PXE server without Go and git: `make package`, or
# `make host` and then, as root, `make install`.
#
#   KERNEL=, MODULES=   the kernel image to boot and its folder lib/modules/<version>; default: the newest installed one
#   ARCH=               arm64 or amd64, for a kernel of another architecture than this machine's
#   ISO=                a KIWI live ISO to take kernel, modules and firmware out of
#   OUT=                where the pair goes; default: build
#   FLAGS=              more flags for mkinitramfs, `-file ca.pem:/etc/ssl/certs/ca.pem` for example
#   PREFIX=, DESTDIR=   where to install: below /usr/local, and what to put in front of it while a package is made
#   VERSION=            that of the packages; default: of the commit

OUT        ?= build
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
NFPM        = github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
PREFIX     ?= /usr/local
VERSION    ?= $(shell packaging/version)
HOST        = $(OUT)/host
PACKAGES   ?= amd64 arm64
HOSTARCH   ?= $(patsubst aarch64,arm64,$(patsubst x86_64,amd64,$(shell uname -m)))
# Machines and the web servers beside them share the processors: two at a time is enough for two. With -v the tests that are left out say so.
VMTEST      = LIVEBOOT_CONSOLE=off go test -v -count=1 -p 1 -parallel 2

export CGO_ENABLED ?= 0

# apt-get runs once at a time, and before what needs its packages.
.NOTPARALLEL:

.PHONY: initramfs run test test-full unit vm lint bench fuzz man host install package packages-build packages-run packages-test packages-full clean

initramfs: packages-build
	go run ./cmds/mkinitramfs -o $(OUT) $(if $(ISO),-iso $(ISO)) $(if $(KERNEL),-kernel $(KERNEL)) $(if $(MODULES),-modules $(MODULES)) $(if $(ARCH),-arch $(ARCH)) $(FLAGS)

# Boots the pair in QEMU in this terminal, with a small live ISO that has a shell.
run: packages-run initramfs
	go run ./qemu/demo -pair $(OUT) $(RUN)

# What every change must pass: about ten minutes, twenty on a machine that has built nothing yet.
test: packages-test lint unit vm

# The whole matrix.
test-full: packages-full lint unit
	go test -count=1 ./packaging/...
	LIVEBOOT_TEST=full $(VMTEST) -timeout 150m ./qemu/... ./integration/...

# Tests that need neither a machine nor root.
unit:
	CGO_ENABLED=1 go test -race -timeout 30m ./cmds/... ./pkg/...
	go test -timeout 30m ./initramfs/...

vm:
	$(VMTEST) -timeout 75m ./qemu/... ./integration/...

lint:
	@files=$$(gofmt -l cmds pkg initramfs packaging qemu integration); if [ -n "$$files" ]; then echo "run gofmt -w on:" $$files; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...

bench: packages-test
	go test -run '^$$' -bench . -timeout 180m ./pkg/... ./initramfs/... ./integration

# Each fuzz test for a short while.
fuzz:
	@go list -f '{{$$p := .}}{{range .TestGoFiles}}{{$$p.ImportPath}} {{$$p.Dir}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$$p.ImportPath}} {{$$p.Dir}}/{{.}}{{"\n"}}{{end}}' ./... | \
	while read -r package file; do \
		for name in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file"); do \
			echo "$$package $$name"; go test -run '^$$' -fuzz "^$$name\$$" -fuzztime 20s -fuzzminimizetime 10x "$$package" || exit 1; \
		done; \
	done

# The manual: what of it is made from the program. `man -l docs/man/liveboot.7` shows a page.
man:
	go test ./pkg/plan ./cmds/mkinitramfs -update

# What is installed: mkinitramfs for this machine or the one of HOSTARCH=, the commands of the image, compiled, and all licences.
host: host-$(HOSTARCH)
	go run ./cmds/mkinitramfs -prebuild -o $(HOST)/lib
	go run ./packaging/notices ./cmds/... >$(HOST)/copyright

host-%:
	GOARCH=$* go build -trimpath -buildvcs=false -ldflags='-s -w -buildid=' -o $(HOST)/$*/liveboot-mkinitramfs ./cmds/mkinitramfs

# Runs no Go, so that root need not have it.
install:
	packaging/install $(HOST) $(HOSTARCH) '$(DESTDIR)$(PREFIX)'

# Debian and RPM packages for the machines of PACKAGES=, in build/packages.
package: host $(PACKAGES:%=host-%)
	@rm -rf $(OUT)/packages
	@for arch in $(PACKAGES); do packaging/package $(HOST) $$arch '$(VERSION)' $(OUT)/packages go run $(NFPM) || exit 1; done

packages-build packages-run packages-test packages-full: packages-%:
	@.ci/packages $*

clean:
	rm -rf $(OUT)
