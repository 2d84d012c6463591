#!/usr/bin/env bash
# Builds ./caddy: Caddy with its standard modules, Gatehouse from this checkout, and whatever else is asked for.
#
#   ./xcaddy.sh                                         Caddy and Gatehouse
#   ./xcaddy.sh --with github.com/mholt/caddy-l4        and another plugin; every further argument goes to "xcaddy build"
#   ./xcaddy.sh --output /usr/local/bin/caddy           to another place
#
# xcaddy itself is fetched, built and run by the go command; nothing is installed. Caddy's version is the one in
# go.mod. The environment variable XCADDY_GO_BUILD_FLAGS replaces the build flags below.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

xcaddy_version=v0.4.5
module=github.com/gatehouse-edge/gatehouse
caddy_version=$(go list -m -f '{{.Version}}' github.com/caddyserver/caddy/v2)

# The tags leave out the database drivers of Caddy's internal certificate authority, which Gatehouse does not use.
# They have nothing to do with Gatehouse's own store.
export XCADDY_GO_BUILD_FLAGS=${XCADDY_GO_BUILD_FLAGS:-"-trimpath -ldflags '-s -w' -tags nobadger,nomysql,nopgx"}

# A module given as module=dir is looked up at the proxy first, which fails for versions that were never published;
# module@v0.0.0=dir is taken from the directory without asking.
exec go run "github.com/caddyserver/xcaddy/cmd/xcaddy@$xcaddy_version" build "$caddy_version" \
	--with "$module@v0.0.0=." "$@"
