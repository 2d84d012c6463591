//go:build !race

package agentruntime

// raceDetector says that the race detector is on, under which interpreting takes ten times as long.
const raceDetector = false
