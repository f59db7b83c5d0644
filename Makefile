# Understudy. `make` alone says what there is.
SHELL    := /bin/bash
.SHELLFLAGS := -euo pipefail -c

GO       ?= go
PREFIX   ?= /usr/local
BIN      ?= bin/understudy
FUZZTIME ?= 30s
COUNT    ?= 3
# One seed for the order of the tests and for the samples they draw. It is the
# same in every run, so that a change that was green stays green; a soak, or
# SEED=..., goes where nobody has been.
SEED     := $(or $(SEED),$(if $(filter soak fuzz,$(MAKECMDGOALS)),$(shell date +%s),1))
# The version: the tag, else the newest heading of the change log.
VERSION  := $(or $(VERSION),$(shell git describe --tags --always --dirty 2>/dev/null),$(shell sed -n 's/^## \[\?\([^] ]*\).*/\1/p' CHANGELOG.md | head -n 1),unknown)
# The same as Debian wants it, which begins with a digit.
DEB_VERSION := $(shell v='$(VERSION)'; v=$${v#v}; case $$v in ([0-9]*.*) echo "$$v";; (*) echo "0~$$v";; esac)

TOOL     := $(GO) tool -modfile=tools/go.mod
TEST     := UNDERSTUDY_SEED=$(SEED) $(GO) test -count=1 -shuffle=$(SEED)
STORIES  := $(addprefix ./,$(addsuffix /...,$(wildcard integration)))
# The race detector needs a C compiler; `make test` installs one.
RACE     := $(if $(shell command -v gcc),-race)

.DEFAULT_GOAL := help
.PHONY: help build demo test unit check story bench fuzz soak lint docs man package install clean

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' Makefile | while IFS=$$'\t' read -r target text; do printf '  make %-8s %s\n' "$$target" "$$text"; done

build: ## bin/understudy, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN) ./cmd/understudy

demo: build ## build and run a whole group on loopback; ARGS="--for 1m --scenario primary-crash"
	bin/understudy demo $(ARGS)

test: ## every test with the race detector; installs the Debian packages they need
	tools/deps.sh --for test
	@echo "seed $(SEED): the order and the samples of this run; others with  make test SEED=..."
	packages=$$($(GO) list ./... | grep -v '/integration$$'); $(TEST) -race -timeout 15m $$packages
	$(TEST) -race -timeout 20m ./integration # by themselves: many stories run side by side, by the clock
	$(TEST) -timeout 10m ./internal/ha/explore # all of it: with the race detector it walks a sample

unit: ## the tests that start no other programs
	@echo "seed $(SEED)"
	packages=$$($(GO) list ./... | grep -v '/integration\(/\|$$\)'); $(TEST) $(RACE) -timeout 5m $$packages

check: ## what a change must pass: gofumpt, vet, staticcheck, shape of the house, unit tests
	@unformed=$$($(TOOL) gofumpt -l .); test -z "$$unformed" || { echo "not formatted, run: $(TOOL) gofumpt -w ."; echo "$$unformed"; exit 1; } >&2
	$(GO) vet ./...
	$(TOOL) staticcheck ./...
	$(GO) test -count=1 ./internal/arch
	@$(MAKE) --no-print-directory unit SEED=$(SEED)

story: ## the stories of integration/: real binaries, real servers
	tools/deps.sh --for test
	@echo "seed $(SEED)"
	$(TEST) -race -timeout 15m -v $(or $(STORIES),$(error there is no folder integration))

bench: build ## speed, beside the peers in one run of 15 minutes; ARGS="-short crash hang" for less
	tools/deps.sh --for bench
	$(GO) run ./integration/bench -runs $(COUNT) $(ARGS)
	UNDERSTUDY_FIGURES=1 CGO_ENABLED=0 $(GO) test -trimpath -count=1 -v -run '^TestFigureOf' ./integration # of upgrade runs and switchovers

fuzz: ## every fuzz target for FUZZTIME
	@{ grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . || echo "there is no fuzz target" >&2; } | while IFS=: read -r file func; do \
		name=$${func#func }; echo "$$name in $${file%/*} for $(FUZZTIME)"; \
		$(GO) test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) "$${file%/*}" </dev/null; \
	done

soak: ## every test with its full counts, at most an hour
	tools/deps.sh --for soak
	@echo "seed $(SEED)"
	UNDERSTUDY_SOAK=1 $(TEST) -race -timeout 60m ./...

lint: ## a second opinion, if golangci-lint is installed
	@command -v golangci-lint >/dev/null || { echo "golangci-lint is not on the PATH; the required checks are: make check" >&2; exit 1; }
	golangci-lint run ./...

docs: ## the tests of the documentation: links lead somewhere, code blocks run
	$(GO) test -count=1 -run '^Test(Docs|Readme)' ./internal/arch $(STORIES)

man: build ## manual pages in bin/man
	$(BIN) man --dir bin/man

package: build ## bin/understudy_VERSION_ARCH.deb, which apt installs
	rm -rf bin/root
	$(MAKE) --no-print-directory -o build install DESTDIR="$(CURDIR)/bin/root" PREFIX=/usr >/dev/null
	ARCH=$$($(GO) env GOARCH) DEB_VERSION=$(DEB_VERSION) $(TOOL) nfpm package --config packaging/nfpm.yaml --packager deb --target bin/

install: build ## to PREFIX (/usr/local) below DESTDIR: the binary, the name failover, systemd units, manual pages
	install -D -m 0755 $(BIN) $(DESTDIR)$(PREFIX)/bin/understudy
	ln -sf understudy $(DESTDIR)$(PREFIX)/bin/failover
	install -D -m 0755 packaging/keepalived/keepalived-check $(DESTDIR)$(PREFIX)/lib/understudy/keepalived-check
	install -D -m 0644 packaging/sysusers.d/understudy.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/understudy.conf
	$(BIN) man --dir $(DESTDIR)$(PREFIX)/share/man/man1
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	$(BIN) completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/understudy
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	@for unit in packaging/systemd/*.service; do \
		sed 's|@BINDIR@|$(PREFIX)/bin|' "$$unit" > "$(DESTDIR)$(PREFIX)/lib/systemd/system/$${unit##*/}"; \
		chmod 0644 "$(DESTDIR)$(PREFIX)/lib/systemd/system/$${unit##*/}"; \
	done
	@echo "once: systemd-sysusers && systemctl daemon-reload; then: systemctl enable --now understudy-sidecar, or understudy-front"

clean: ## remove what the targets made
	rm -rf bin coverage.out coverage.html
