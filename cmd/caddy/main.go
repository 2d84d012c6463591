// Command caddy is Caddy with its standard modules and those of Gatehouse, for those who do not build with xcaddy.
//
// It takes every command that Caddy takes ("caddy run", "caddy validate", ...) and "caddy gatehouse".
package main

import (
	// Time zones, so that cron expressions work on machines without a zone database.
	_ "time/tzdata"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/gatehouse-edge/gatehouse"
)

func main() {
	caddycmd.Main()
}
