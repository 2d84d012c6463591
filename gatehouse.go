// Package gatehouse is an edge for AI agents, as modules of the Caddy web server.
//
// A gatehouse guards a gate from both sides: who comes in, and what those inside may send out. Importing this
// package registers the Caddy app gatehouse, the handlers behind the directives throttle, bot_score, waf and agent,
// and the command "caddy gatehouse". It exports nothing of its own: it is the address by which xcaddy and other
// programs take the modules in. docs/architecture.md is the map of what lies beneath.
package gatehouse

import _ "github.com/gatehouse-edge/gatehouse/caddymodule"
