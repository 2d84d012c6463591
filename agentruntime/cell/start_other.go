//go:build !linux

package cell

import "errors"

// starter starts nothing: what holds a cell is Linux's.
type starter struct{}

func newStarter() *starter { return &starter{} }
func (*starter) close()    {}

func (p *Pool) launch() (*process, error) {
	return nil, errors.New("cell: agents run in processes of their own on Linux only; use isolation inprocess, for trusted code")
}
