# SysCare: live patches delivered as RPMs. `make help` lists the targets.

SHELL       := /bin/bash
GO          ?= go
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo 0.1.0)
LDFLAGS     := -s -w -X main.version=$(VERSION)
GOFLAGS_ALL := -trimpath -ldflags '$(LDFLAGS)'

PREFIX      ?= /usr
BINDIR      ?= $(PREFIX)/bin
LIBEXECDIR  ?= $(PREFIX)/libexec/syscare
INCLUDEDIR  ?= $(PREFIX)/include
MANDIR      ?= $(PREFIX)/share/man
COMPDIR     ?= $(PREFIX)/share/bash-completion/completions
DBUSDIR     ?= $(PREFIX)/share/dbus-1
POLKITDIR   ?= $(PREFIX)/share/polkit-1/actions
UNITDIR     ?= $(PREFIX)/lib/systemd/system
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
# Where dnf of Debian looks; of others: the site-packages of their Python.
DNFDIR      ?= $(PREFIX)/lib/python3/dist-packages/dnf-plugins
RPMDIR      ?= $(PREFIX)/lib/rpm
SYSCONFDIR  ?= /etc

# Tests stop and patch live processes and measure pauses: packages one after
# the other, so that they do not disturb each other.
TESTFLAGS   ?= -p 1 -timeout 45m
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOLANGCI    := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

PROGRAMS    := syscare syscared syscare-cc syscare-hook

.PHONY: all
all: build ## build the programs into bin/

.PHONY: build
build:
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build $(GOFLAGS_ALL) -o bin/ $(PROGRAMS:%=./cmd/%)

.PHONY: setup
setup: ## install what building and testing need, if it is missing
	@scripts/setup.sh

.PHONY: demo
demo: setup build ## fix a security flaw in a running redis-server
	@scripts/demo.sh

.PHONY: test
test: setup build ## set up, then run all tests
	$(GO) vet ./...
	$(GO) test $(TESTFLAGS) ./...

.PHONY: corpus
corpus: setup build ## make live patches of a hundred real fixes and try them (PACKAGES=a,b for some; about an hour)
	$(GO) run ./tests/corpus/cmd/corpus --package "$(PACKAGES)" --results build/corpus --log build/corpus.log --output docs/corpus.md

# Where nightly begins: another day, other programs. And how many it makes.
SEED        ?= $(shell date +%Y%m%d0000)
COUNT       ?= 2000

.PHONY: nightly
nightly: setup ## patch 2,000 random programs while they run (SEED=N COUNT=N to choose which), and the longest tests
	$(GO) test ./engine/user -run 'Killed|ManyCycles' -v -timeout 1h -cycles 1000 -kills 500
	$(GO) test ./tests -run TestKernelPatchPackages -v -timeout 1h -kernel backport
	set -o pipefail; $(GO) test ./tests/random -run TestRandomPrograms -timeout 4h -v -programs $(COUNT) -seed $(SEED) | grep -v -e '^=== ' -e '--- PASS'

.PHONY: race
race: setup build ## all tests with the race detector
	$(GO) test -race $(TESTFLAGS) ./...

.PHONY: lint
lint: ## formatting, vet, staticcheck, golangci-lint
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not formatted with gofmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) run $(GOLANGCI) run ./...

.PHONY: bench
bench: ## all benchmarks
	$(GO) test -p 1 -run '^$$' -bench . -benchmem ./...

.PHONY: bench-kernel
bench-kernel: ## what building and switching a kernel patch costs
	$(GO) test ./tests -run '^$$' -bench BenchmarkKernel -benchtime 3x -timeout 1h

.PHONY: bench-build
bench-build: ## what building a patch costs, in plain builds
	$(GO) test ./tests -run '^$$' -bench BenchmarkBuild -benchtime 3x -timeout 2h

.PHONY: install
install: build ## install into DESTDIR
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBEXECDIR)
	install -m 0755 bin/syscare $(DESTDIR)$(BINDIR)/syscare
	install -m 0755 bin/syscared bin/syscare-cc bin/syscare-hook $(DESTDIR)$(LIBEXECDIR)/
	install -D -m 0644 engine/build/syscare.h $(DESTDIR)$(INCLUDEDIR)/syscare.h
	install -D -m 0644 packaging/macros.syscare $(DESTDIR)$(RPMDIR)/macros.d/macros.syscare
	install -D -m 0644 packaging/syscare.attr $(DESTDIR)$(RPMDIR)/fileattrs/syscare.attr
	install -d -m 0755 $(DESTDIR)/usr/lib/syscare/patches
	install -d -m 0755 $(DESTDIR)/var/lib/syscare
	install -D -m 0644 packaging/syscare.bash $(DESTDIR)$(COMPDIR)/syscare
	install -D -m 0644 packaging/org.openeuler.SysCare1.service $(DESTDIR)$(DBUSDIR)/system-services/org.openeuler.SysCare1.service
	install -D -m 0644 packaging/org.openeuler.SysCare1.conf $(DESTDIR)$(DBUSDIR)/system.d/org.openeuler.SysCare1.conf
	install -D -m 0644 packaging/org.openeuler.SysCare1.xml $(DESTDIR)$(DBUSDIR)/interfaces/org.openeuler.SysCare1.xml
	install -D -m 0644 packaging/org.openeuler.syscare1.policy $(DESTDIR)$(POLKITDIR)/org.openeuler.syscare1.policy
	install -d $(DESTDIR)$(UNITDIR)
	install -m 0644 packaging/syscared.service packaging/syscare-restore.service $(DESTDIR)$(UNITDIR)/
	install -D -m 0644 packaging/syscare.tmpfiles $(DESTDIR)$(TMPFILESDIR)/syscare.conf
	install -D -m 0644 packaging/syscared.8 $(DESTDIR)$(MANDIR)/man8/syscared.8
	install -D -m 0644 packaging/syscare.toml.5 $(DESTDIR)$(MANDIR)/man5/syscare.toml.5
	install -D -m 0644 dnfplugin/syscare.py $(DESTDIR)$(DNFDIR)/syscare.py
	install -D -m 0644 dnfplugin/syscare.conf $(DESTDIR)$(SYSCONFDIR)/dnf/plugins/syscare.conf
	install -D -m 0644 dnfplugin/syscare.actions $(DESTDIR)$(SYSCONFDIR)/dnf/libdnf5-plugins/actions.d/syscare.actions
	bin/syscare man >$(DESTDIR)$(MANDIR)/man8/syscare.8

.PHONY: clean
clean: ## remove what was built here (not the caches)
	rm -rf bin build syscare-build.*

.PHONY: help
help:
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14
