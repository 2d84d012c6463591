// Package chain signs and checks the chain of agents that a request came through, where it leaves one server for another, and finds
// cycles in it. Within one server the gateway keeps the chain itself, and no code can reach it.
//
// It must not know who may call whom: that is its caller's affair.
package chain
