// Package worker is a cell: the process in which one agent's code runs. It takes code and events from its gateway over
// an inherited socket, runs them with agentruntime, and asks the gateway for whatever the code asks of the world.
//
// It decides nothing and owns nothing that outlives it: it ends when its socket does. It must not know Caddy or any
// storage engine, nor open anything by itself.
package worker
