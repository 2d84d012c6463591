//go:build !linux

package cell

import "errors"

const reportDescriptor = -1

func (p *Pool) launch() (*process, error) {
	return nil, errors.New("cell: agents run in processes of their own on Linux only; use isolation inprocess, for trusted code")
}
