// Package throttle decides whether one more request may pass, and how far its answer may go: rates, local zones (GCRA on
// this node), the exact window that strict zones count with, budgets with what an answer costs, bounds on what is open or
// under way, the pace of bodies, and the response headers that tell a client where it stands.
//
// It owns the algorithms and their bounded state in memory. It must not know
// Caddy, how a key is made from a request, or where a strict count is kept:
// a durable actor implements Counter by running Take over its own Slots, and
// Ledger by keeping an Account.
package throttle
