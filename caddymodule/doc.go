// Package caddymodule makes Gatehouse part of Caddy: the directives and the global option, provisioning and reload, the
// admin routes and the commands. It is the only package that imports Caddy, and it connects the others: an agent's Host
// to actors, KV, egress and secrets, and every stage to the one record of a request.
//
// It decides nothing itself. What a stage decides is its own package's business; here its verdict is written down and
// turned into HTTP.
package caddymodule
