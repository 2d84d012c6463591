//go:build race

package cell

// underRace says that the race detector runs, which keeps several bytes for each byte of a stack.
const underRace = true
