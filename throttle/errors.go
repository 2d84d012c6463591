package throttle

import "errors"

// ErrRate says that a rate can't be parsed or is out of bounds.
var ErrRate = errors.New("invalid rate")
