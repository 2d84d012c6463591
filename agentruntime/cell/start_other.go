//go:build !linux

package cell

import (
	"errors"
	"os"
)

const reportDescriptor = -1

// program is the file to start for a process of our own.
func program() (string, error) { return os.Executable() }

// environment is that of a process of our own.
var environment = []string{}

func (p *Pool) launch() (*process, error) {
	return nil, errors.New("cell: agents run in processes of their own on Linux only; use isolation inprocess, for trusted code")
}
