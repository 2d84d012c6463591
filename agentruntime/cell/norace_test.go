//go:build !race

package cell

const underRace = false
