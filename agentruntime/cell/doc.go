// Package cell runs agents in processes of their own, called cells, and is the gateway's side of them: it starts them, loads
// code into them, hands them events, answers what code asks through agentruntime.Host, watches them and ends them.
//
// An Agent here has the methods of agentruntime.Agent and means the same. The code's own side is package worker, what the two
// say to each other package wire. A cell is not trusted: whatever it says can harm only what runs in it.
//
// It must not know Caddy, any storage engine, or how what code asks is decided.
package cell
