// Package baseline learns what is usual for an agent, and says what is not: a host or a tool that it has never used, a rate or a cost far
// off, a burst of refusals.
//
// It must not know where a baseline is kept, nor who is told.
package baseline
