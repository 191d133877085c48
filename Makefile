# `make help` lists the targets. `make run` and `make test` need nothing but
# Go, Node with npm, and (for missing system tools) apt.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BIN     := bin/catalyst

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: build
build: graphiql ## build bin/catalyst
	@$(GO) build -ldflags '-X main.version=$(VERSION)' -o $(BIN) ./cmd/catalyst

.PHONY: graphiql
graphiql: gateway/graphiql/bundle/index.html.gz ## bundle GraphiQL, which the gateway serves at /

.PHONY: run
run: build ## start a three-node site with a gateway on loopback
	@$(BIN) dev --nodes 3

.PHONY: pokemon
pokemon: cluster-tests/js/node_modules ## start a GraphQL service of npm's, for trying things out
	@node cluster-tests/js/service.mjs --kind pokemon --port 4003

.PHONY: test
test: ip chromium graphiql node cluster-tests/js/node_modules transport/interop/node_modules ## all tests at full length, the black-box ones with real processes included
	$(GO) test -shuffle=on $$($(GO) list ./... | grep -v /cluster-tests)
	$(GO) test -count=1 -timeout 20m ./cluster-tests/...

.PHONY: check
check: graphiql node transport/interop/node_modules ## format, modules, vet, staticcheck, architecture, and the tests with the race detector
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted: $$unformatted"; exit 1; }
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) test -race -short -shuffle=on $$($(GO) list ./... | grep -v /cluster-tests)

.PHONY: bench
bench: build cluster-tests/js/node_modules ## the figures of the product: registrations, reads, watch, memory, failover, table
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 30m ./cmd/catalyst
	$(GO) test -run '^$$' -bench . -skip 'Peering|BenchmarkGateway' -benchtime 1x -timeout 30m ./node ./cluster-tests
	$(GO) test -run '^$$' -bench . -timeout 30m ./fsm ./transport ./transport/ws

.PHONY: bench-rpc
bench-rpc: node transport/interop/node_modules ## the figures of the transport beside those of npm's capnweb on Node
	$(GO) test -run '^$$' -bench RPC -benchtime 1x ./transport/interop

.PHONY: bench-peering
bench-peering: cluster-tests/js/node_modules ## the figures of peering: full table, latency, failover, a mesh of 20 sites
	$(GO) test -run '^$$' -bench Peering -benchtime 1x -timeout 15m ./cluster-tests

.PHONY: bench-gateway
bench-gateway: cluster-tests/js/node_modules ## the figures of the GraphQL gateway beside those of npm's yoga and stitch on Node
	$(GO) test -run '^$$' -bench '^BenchmarkGateway$$' -benchtime 1x -timeout 15m ./cluster-tests

.PHONY: vagrant-check
vagrant-check: export VAGRANT_CHECKPOINT_DISABLE = 1
vagrant-check: build vagrant shellcheck systemd-analyze ## the Vagrantfile, the systemd unit and the shell scripts are in order
	vagrant validate --ignore-provider
	@# In a tree of its own, with the program where the unit expects it.
	@root=$$(mktemp -d) && trap 'rm -rf "$$root"' EXIT && \
		DESTDIR=$$root packaging/install.sh $(BIN) && \
		mkdir -p $$root/usr/lib/systemd && cp -r /usr/lib/systemd/system $$root/usr/lib/systemd/ && \
		systemd-analyze verify --recursive-errors=no --root=$$root catalyst.service
	shellcheck -x -P SCRIPTDIR packaging/*.sh packaging/vagrant/*.sh

.PHONY: corruption
corruption: ip node cluster-tests/js/node_modules ## damage a node's files in 300 ways, where make test does in 60
	CATALYST_CORRUPTIONS=300 $(GO) test -count=1 -timeout 20m -run Corruption -v ./cluster-tests

.PHONY: fuzz
fuzz: ## fuzz every decoder for a minute each
	@for target in $$(grep -rlE '^func Fuzz' --include=*_test.go . | xargs -n1 dirname | sort -u); do \
		for name in $$(grep -hoE '^func Fuzz[A-Za-z0-9]+' $$target/*_test.go | cut -c6-); do \
			$(GO) test -run '^$$' -fuzz "^$$name$$" -fuzztime 60s $$target || exit 1; done; done

.PHONY: fmt
fmt: ## format
	gofmt -w .

.PHONY: clean
clean: ## remove what building and testing made
	rm -rf bin cluster-tests/js/node_modules transport/interop/node_modules gateway/graphiql/web/node_modules
	rm -rf gateway/graphiql/bundle/assets gateway/graphiql/bundle/*.gz

# What a fresh machine may lack.
.PHONY: node
node:
	@command -v node >/dev/null && command -v npm >/dev/null || { apt-get update && apt-get install -y nodejs npm; }

.PHONY: ip
ip:
	@command -v ip >/dev/null && command -v iptables >/dev/null && command -v mkfs.ext4 >/dev/null && command -v fsfreeze >/dev/null || \
		{ apt-get update && apt-get install -y iproute2 iptables e2fsprogs util-linux; }

.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || { apt-get update && apt-get install -y --no-install-recommends chromium; }

.PHONY: vagrant
vagrant:
	@command -v vagrant >/dev/null || { apt-get update && apt-get install -y --no-install-recommends vagrant; }

.PHONY: shellcheck
shellcheck:
	@command -v shellcheck >/dev/null || { apt-get update && apt-get install -y shellcheck; }

.PHONY: systemd-analyze
systemd-analyze:
	@command -v systemd-analyze >/dev/null || { apt-get update && apt-get install -y --no-install-recommends systemd; }

%/node_modules: %/package-lock.json | node
	cd $* && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

gateway/graphiql/bundle/index.html.gz: gateway/graphiql/web/build.mjs $(wildcard gateway/graphiql/web/src/*) gateway/graphiql/web/node_modules
	cd gateway/graphiql/web && node build.mjs
