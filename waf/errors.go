package waf

import "errors"

// Errors of configuration, from New.
var (
	// ErrConfig reports an option whose value is outside what it allows.
	ErrConfig = errors.New("waf: invalid configuration")
	// ErrRules reports rules that cannot be read or parsed. The text names the file and, where one directive
	// is at fault, its first line.
	ErrRules = errors.New("waf: invalid rules")
)

// Errors of one request, from Engine.Inspect.
var (
	// ErrBody reports that the client's body could not be read. It wraps the reader's own error, for example
	// http.MaxBytesError or io.ErrUnexpectedEOF.
	ErrBody = errors.New("waf: read request body")
	// ErrInspect reports that the rule engine itself failed. The request must be refused.
	ErrInspect = errors.New("waf: inspect")
)
