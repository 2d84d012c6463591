package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// pipeline lists the directives in the order in which a request passes them: those that judge come before anything of
// Caddy that changes or answers a request, those that answer before anything else that does, so that what an agent does
// not answer can be answered by respond, reverse_proxy or file_server. handle and route blocks come first.
var pipeline = []struct {
	before string
	names  []string
}{
	{"redir", []string{"throttle", "identity", "bot_score", "waf", "access"}},
	{"respond", []string{"egress_proxy", "key_directory", "agent_dashboard", "agent"}},
}

func init() {
	// Several registrations before one directive land in the order of registration.
	for _, p := range pipeline {
		for _, name := range p.names {
			httpcaddyfile.RegisterDirectiveOrder(name, httpcaddyfile.Before, p.before)
		}
	}
	httpcaddyfile.RegisterGlobalOption("gatehouse", parseApp)
	httpcaddyfile.RegisterHandlerDirective("throttle", parseThrottle)
	httpcaddyfile.RegisterHandlerDirective("bot_score", parseBotScore)
	httpcaddyfile.RegisterHandlerDirective("identity", parseIdentity)
	httpcaddyfile.RegisterHandlerDirective("access", parseAccess)
	httpcaddyfile.RegisterHandlerDirective("waf", parseWAF)
	httpcaddyfile.RegisterHandlerDirective("egress_proxy", parseEgressProxy)
	httpcaddyfile.RegisterHandlerDirective("key_directory", parseKeyDirectory)
	httpcaddyfile.RegisterHandlerDirective("agent_dashboard", parseDashboard)
	httpcaddyfile.RegisterHandlerDirective("agent", parseAgent)
}
