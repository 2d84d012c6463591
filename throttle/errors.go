package throttle

import "errors"

// Errors of a configuration.
var (
	// ErrRate says that a rate can't be parsed or is out of bounds.
	ErrRate = errors.New("invalid rate")
)

// Errors of a request.
var (
	// ErrCost says that a cost can't be reserved whatever is left of the budget.
	ErrCost = errors.New("invalid cost")
)
