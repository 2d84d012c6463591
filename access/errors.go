package access

import "errors"

// Why a token is not believed. Each is told to the operator, in the record; a client learns only that its token is not valid.
var (
	// ErrMalformed is for what is no signed token of three parts, or one whose algorithm is not among those that are taken.
	ErrMalformed = errors.New("no token that could be verified, or of an algorithm that is not taken")
	// ErrKeys is for a key set that cannot be had. It says nothing of the token.
	ErrKeys = errors.New("the issuer's keys cannot be had")
	// ErrUnknownKey is for a key that the issuer does not publish.
	ErrUnknownKey = errors.New("signed by a key that the issuer does not have")
	// ErrSignature is for a signature that the key did not make.
	ErrSignature = errors.New("the signature does not fit")
	// ErrIssuer is for a token of somebody else.
	ErrIssuer = errors.New("of another issuer")
	// ErrAudience is for a token that is meant for somebody else.
	ErrAudience = errors.New("meant for another audience")
	// ErrExpired is for a token whose time is over, or that says nothing of it.
	ErrExpired = errors.New("expired, or without an expiry")
	// ErrNotYet is for a token whose time has not come.
	ErrNotYet = errors.New("not valid yet")
)
