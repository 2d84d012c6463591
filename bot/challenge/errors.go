package challenge

import "errors"

// Why a solution or a cookie is not taken.
var (
	// ErrMalformed is for a text that this server did not write.
	ErrMalformed = errors.New("not of this server")
	// ErrExpired is for one whose time is over.
	ErrExpired = errors.New("too old")
	// ErrClient is for one that was given to another client.
	ErrClient = errors.New("of another client")
	// ErrUnsolved is for a number that solves nothing, or a wrong answer.
	ErrUnsolved = errors.New("not solved")
	// ErrEarly is for an answer that came sooner than somebody reads the question.
	ErrEarly = errors.New("answered too soon")
	// ErrUsed is for a puzzle that was solved before.
	ErrUsed = errors.New("used already")
	// ErrFull is for a solution that cannot be remembered, since too many are.
	ErrFull = errors.New("too many solutions are remembered to take another")
)
