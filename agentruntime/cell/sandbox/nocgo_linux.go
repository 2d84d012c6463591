//go:build !cgo

package sandbox

// ownProcesses is whether a process may be put in a namespace of processes of its own. See the file of the other build.
const ownProcesses = true
