//go:build cgo

package sandbox

// In a program with C code, calls on all threads go through libpsx, which looks the threads up in /proc by the process's own
// number. In a namespace of processes that number is another process's there.
const ownProcesses = false
