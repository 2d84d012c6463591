//go:build !linux

package sandbox

import (
	"errors"
	"os"
	"syscall"
)

// Box is the gateway's half of one process. On this system it holds nothing.
type Box struct{}

// New makes a box that holds nothing.
func New(Config) (*Box, error) { return &Box{}, nil }

// File returns nil: there is nothing to inherit.
func (b *Box) File() *os.File { return nil }

// Options is what the process must pass to Enter.
func (b *Box) Options(int, bool) Options { return Options{Report: -1} }

// Bound does nothing.
func (b *Box) Bound(int64) error { return nil }

// Start starts the process without anything to hold it.
func (b *Box) Start(start func(*syscall.SysProcAttr) (pid int, err error)) error {
	_, err := start(&syscall.SysProcAttr{})
	return err
}

// Usage is not known on this system.
func (b *Box) Usage() (Usage, error) { return Usage{}, errors.ErrUnsupported }

// OutOfMemory is not known on this system.
func (b *Box) OutOfMemory() bool { return false }

// InForce returns what was reported: nothing.
func (b *Box) InForce(reported InForce) InForce { return reported }

// Close does nothing.
func (b *Box) Close() error { return nil }

// Enter puts nothing in force and says so.
func Enter(Options) (InForce, error) {
	return InForce{Missing: []string{"there is a sandbox on Linux only"}}, nil
}
