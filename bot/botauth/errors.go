package botauth

import "errors"

// ErrUnsigned is for a request without a signature of this protocol. It is no failure: most requests have none.
var ErrUnsigned = errors.New("not signed")

// Why a signature is not believed. Each is told to the operator, in the record.
var (
	// ErrMalformed is for header fields that are not what RFC 9421 and the protocol say.
	ErrMalformed = errors.New("the signature's fields cannot be read")
	// ErrComponents is for a signature that does not cover what it must, or covers what the request does not have or is not known here.
	ErrComponents = errors.New("the signature does not cover what it must, or something that is not there")
	// ErrAlgorithm is for one that says that it is of another algorithm than Ed25519.
	ErrAlgorithm = errors.New("of an algorithm that is not taken")
	// ErrTimes is for one without created and expires, or that is good for longer than Config.MaxLifetime.
	ErrTimes = errors.New("without the time when it was made and ends, or good for too long")
	// ErrExpired is for one whose time is over.
	ErrExpired = errors.New("expired")
	// ErrNotYet is for one that was made in the future.
	ErrNotYet = errors.New("not valid yet")
	// ErrBeforeStart is for one made before this server started, which may have been used already.
	ErrBeforeStart = errors.New("made before this server started, so that it may have been used already")
	// ErrNonce is for one without a nonce, or with a very long one.
	ErrNonce = errors.New("without a nonce of at most 256 bytes")
	// ErrReplayed is for a nonce that was used.
	ErrReplayed = errors.New("the nonce was used already")
	// ErrNonceSpace is for a nonce that cannot be remembered, since too many are.
	ErrNonceSpace = errors.New("too many nonces are remembered to take another")
	// ErrAgent is for a Signature-Agent that is not there or names no directory.
	ErrAgent = errors.New("no Signature-Agent that names a key directory")
	// ErrNotAsked is for an agent that is not among Config.Agents.
	ErrNotAsked = errors.New("of an agent whose directory is not asked")
	// ErrSignature is for a signature that the key did not make, such as one for another authority.
	ErrSignature = errors.New("the signature does not fit the request")
)

// Why a key cannot be had of its directory.
var (
	// ErrUnreachable is for a directory that cannot be fetched.
	ErrUnreachable = errors.New("the key directory cannot be had")
	// ErrRedirects is for a directory that sends elsewhere.
	ErrRedirects = errors.New("the key directory redirects")
	// ErrDirectory is for one that is none, by its status, its media type or its content.
	ErrDirectory = errors.New("the key directory is none")
	// ErrOrigin is for one whose keys did not sign that they are of this origin.
	ErrOrigin = errors.New("the key directory is not signed for its origin")
	// ErrUnknownKey is for a key that the directory does not have, or no more.
	ErrUnknownKey = errors.New("signed by a key that the directory does not have")
	// ErrKeyTime is for a key whose time has not come or is over.
	ErrKeyTime = errors.New("signed by a key that is not valid at this time")
	// ErrBusy is for a directory that is not fetched now since too many are being fetched.
	ErrBusy = errors.New("too many key directories are being fetched")
)
