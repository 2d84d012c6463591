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
RACE := ./durable/... ./throttle/... ./record/... ./agentruntime ./agentruntime/cell ./agentruntime/cell/w... ./egress/...

# Where npm packages lie that tests bundle and run.
NPM_TESTS := agentruntime/testdata/packages

# Where the example listens; examples/run.sh says what more of it can be moved.
export PORT ?= 8080

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
.PHONY: test fmt lint deps bench attacks
test: deps ## format check, vet and every test; the concurrent packages under the race detector too
	@unformatted=$$(git ls-files -z '*.go' | xargs -0 gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "not formatted, run \"make fmt\":"; echo "$$unformatted"; exit 1; fi
	go vet -tags $(TAGS) ./...
	go test -tags $(TAGS) -timeout 20m ./...
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
	@go test -tags $(TAGS) -count=1 -v -run '^TestAttacks$$' ./integration | grep -E ' (/attack|/hidden|a top-level|bystanders|the gateway)|^(---|ok|FAIL)'

deps: ## fetch what only tests need: npm packages and web-platform-tests; Go fetches its modules by itself
	@if ! command -v npm >/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -q && apt-get install -yq --no-install-recommends npm; \
		else \
			echo "The tests that run npm packages need npm: install Node.js 20 or later (https://nodejs.org), then run this again."; exit 1; \
		fi; \
	fi; \
	npm ci --prefix $(NPM_TESTS) --ignore-scripts --no-audit --no-fund
	@agentruntime/testdata/wpt/fetch.sh

help: ## list what can be made
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
