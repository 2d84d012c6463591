//go:build !linux

package agentruntime

func machineCodeAllowed() bool { return true }
