// Package cache is the HTTP cache that an agent's code fills and asks by itself, as Cloudflare's Cache API is
// (https://developers.cloudflare.com/workers/runtime-apis/cache/), with the rules of RFC 9111 for what may be kept and for
// how long. It is in memory, bounded, and of one agent; it knows neither Caddy nor agents.
package cache
