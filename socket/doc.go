// Package socket keeps the WebSockets of durable actors (https://developers.cloudflare.com/durable-objects/api/websockets/): the
// connections with their frames, their tags and attachments, and the answers that are given without waking anybody. A socket
// belongs to an actor and not to its time in memory: it stays open while the actor sleeps, is reset, gets new code or loses
// the process that it ran in.
//
// It must not know how an actor is made or reached, nor Caddy: events go out through Config.Deliver. At rest a connection costs one
// goroutine that waits to read, and no buffer.
package socket
