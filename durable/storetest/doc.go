// Package storetest owns the conformance suite that every durable.Store passes, and the model test that
// compares an actor's storage over a store with a sorted map.
//
// It knows only the interface: what an engine promises beyond it is tested beside the engine.
package storetest
