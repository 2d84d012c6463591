# Gatehouse. "make" lists what can be made; everything works on a machine with Go and git.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The tags xcaddy builds with: they leave out database drivers of Caddy's own certificate authority.
TAGS := nobadger,nomysql,nopgx
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Packages whose tests run a second time under the race detector, because several goroutines meet in them.
# The sandbox's bounds on memory leave no room for what the detector keeps beside it.
RACE := ./durable/... ./throttle/... ./record/... ./agentruntime ./agentruntime/cell ./agentruntime/cell/w... ./egress/... ./socket

# Where npm packages lie that tests bundle and run, or take lists from.
NPM_TESTS := agentruntime/testdata/packages bot/testdata/agents bot/botauth/testdata/agent integration/testdata/axe integration/testdata/oauth

# Where the example listens; examples/run.sh says what more of it can be moved.
export PORT ?= 8080

# How long each fuzz target runs.
FUZZTIME ?= 30s

# What goes on to the benchmark: make bench ARGS="--only hello --rounds 5"
ARGS ?=

##@ To try it
.PHONY: run build help
run: build ## build and start the example; "make run PORT=8088" takes another port
	@examples/run.sh .build/caddy

build: ## build .build/caddy: Caddy with its standard modules and Gatehouse
	@mkdir -p .build
	CGO_ENABLED=0 go build -trimpath -tags $(TAGS) -o .build/caddy ./cmd/caddy

##@ To change it
.PHONY: test fmt lint deps bench attacks fuzz torture scale flood tails screenshots
# The integration tests run by themselves: they load a whole server, and wait for it.
test: deps ## format check, vet and every test; the concurrent packages under the race detector too
	@unformatted=$$(git ls-files -z '*.go' | xargs -0 gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "not formatted, run \"make fmt\":"; echo "$$unformatted"; exit 1; fi
	go vet -tags $(TAGS) ./...
	@mkdir -p .build; set -x; \
	{ go test -tags $(TAGS) -timeout 20m $$(go list -tags $(TAGS) ./... | grep -v /integration$$) && \
	  go test -tags $(TAGS) -timeout 20m ./integration; } 2>&1 | tee .build/test.log || { set +x; \
		echo "What failed, without its logs; all of it is in .build/test.log:"; \
		grep -E '^ *(--- FAIL|[a-z0-9_]+_test\.go:[0-9]+: |panic: |FAIL)' .build/test.log | cut -c1-500 | tail -60; exit 1; }
	go test -tags $(TAGS),failpoints -run '^TestKillAtFailpoints$$' ./durable/badgerstore
	@if command -v "$$(go env CC)" >/dev/null; then set -x; \
		CGO_ENABLED=1 go test -race -tags $(TAGS) -timeout 20m $(RACE); \
	else echo "no C compiler here: the race detector needs one, so its second run of $(RACE) is left out"; fi

fmt: ## format every Go file
	git ls-files -z '*.go' | xargs -0 gofmt -w

lint: ## vet and staticcheck
	go vet -tags $(TAGS) ./...
	go run $(STATICCHECK) -tags $(TAGS) ./...

bench: ## measure against workerd, plain Coraza and plain Caddy; ARGS="--help" says more
	@go run -tags $(TAGS) ./bench $(ARGS)

attacks: ## let hostile code loose on a server and print how long each attack ran past its limit
	@go test -tags $(TAGS) -count=1 -v -run '^TestAttacks$$' ./integration | grep -E ' (/attack|/hidden|/sql|a top-level|bystanders|the gateway)|^(---|ok|FAIL)'

# Each part says its seed, which GATEHOUSE_SEED repeats.
torture: ## the long runs: kills, damage to every file, histories, models, egress fuzzed for an hour in all; SEED=n repeats one
	export GATEHOUSE_ROUNDS=50 GATEHOUSE_FLIPS=200 GATEHOUSE_STEPS=500 $(if $(SEED),GATEHOUSE_SEED=$(SEED)); \
	go test -tags $(TAGS) -count=1 -v -timeout 60m -run '^Test(Kill|Flips|AlarmsUnderKills|AlarmStorm|BackupUnderLoad|Linear.*)$$' ./durable/badgerstore; \
	go test -tags $(TAGS) -count=1 -v -timeout 30m -run '^TestModel$$' ./durable/badgerstore -rapid.checks=1000 $(if $(SEED),-rapid.seed=$(SEED)); \
	GATEHOUSE_ROUNDS=6 go test -tags $(TAGS),failpoints -count=1 -v -timeout 30m -run '^TestKillAtFailpoints$$' ./durable/badgerstore; \
	go test -tags $(TAGS) -count=1 -v -timeout 60m -run '^Test(Kill|FullDisk|ReadOnlyDisk|CellsAreKilled)$$' ./integration; \
	GATEHOUSE_ROUNDS=30 go test -tags $(TAGS) -count=1 -v -timeout 30m -run '^TestWorkflowUnderKills$$' ./integration; \
	for target in FuzzDo FuzzTarget; do go test -tags $(TAGS) -run '^$$' -fuzz "^$$target$$" -fuzztime 30m -parallel 1 ./egress & done; wait

scale: ## a million hibernated actors, ten thousand in memory, ten thousand sockets; prints memory and times
	GATEHOUSE_SCALE=full go test -tags $(TAGS) -count=1 -v -timeout 30m -run '^TestMany' ./integration | grep -E '^ +scale_test|^(---|ok|FAIL|PASS)'

flood: ## ten thousand idle connections, slow heads and slow bodies; prints what honest clients and memory feel of it
	GATEHOUSE_FLOOD=full go test -tags $(TAGS) -count=1 -v -timeout 10m -run '^TestFlood$$' ./integration | grep -E '^ +flood_|^(---|ok|FAIL|PASS)'

tails: ## ten slow readers of the live tail at 5,000 requests a second; prints what honest requests feel of them
	GATEHOUSE_TAILS=full go test -tags $(TAGS) -count=1 -v -timeout 10m -run '^TestSlowTails$$' ./integration | grep -E '^ +backpressure_|^(---|ok|FAIL|PASS)'

screenshots: ## take the pictures of the page anew, for docs/images
	GATEHOUSE_SCREENSHOTS=$(CURDIR)/docs/images go test -tags $(TAGS) -count=1 -timeout 10m -run '^TestDashboard$$' ./integration

# Two at a time, with one worker each: on two processors more would only take turns. An input that is under way when the time is over can
# make Go before 1.27 call the end of the time a failure (go.dev/issue/75804), without an input that failed; that is no failure.
fuzz: ## run every fuzz target for FUZZTIME (30s)
	@mkdir -p .build/fuzz; \
	git grep -l '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u | while read -r dir; do \
		sed -n 's/^func \(Fuzz[A-Za-z0-9]*\).*/\1/p' "$$dir"/*_test.go | while read -r target; do echo "./$$dir $$target"; done; \
	done | xargs -P 2 -L 1 bash -c ' \
		log=.build/fuzz/$$1.log; \
		if go test -tags $(TAGS) -run "^$$" -fuzz "^$$1$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s -parallel 1 "$$0" >"$$log" 2>&1 \
			|| { grep -q "^    context deadline exceeded" "$$log" && ! grep -qE "Failing input|panic|fuzzing process" "$$log"; }; \
		then echo "ok $$0 $$1: $$(grep -o "execs: [0-9]*" "$$log" | tail -1)"; else echo "FAIL $$0 $$1"; cat "$$log"; exit 1; fi'

deps: ## fetch what only tests need: npm packages, Chromium, web-platform-tests, prose; Go fetches its modules by itself
	@for program in npm chromium curl; do \
		if command -v $$program >/dev/null; then continue; fi; \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -q && apt-get install -yq --no-install-recommends $$program; \
		else \
			echo "The tests need $$program: install Node.js 20 or later (https://nodejs.org) with npm, Chromium as chromium, and curl, then run this again."; exit 1; \
		fi; \
	done; \
	if ! python3 -c 'import requests' 2>/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -q && apt-get install -yq --no-install-recommends python3-requests; \
		else \
			echo "The tests need Python 3 with requests: install python3-requests, then run this again."; exit 1; \
		fi; \
	fi; \
	for dir in $(NPM_TESTS); do npm ci --prefix "$$dir" --ignore-scripts --no-audit --no-fund; done
	@agentruntime/testdata/wpt/fetch.sh
	@internal/testkit/testdata/prose/fetch.sh

help: ## list what can be made
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
