package agentruntime

import "errors"

// What an invocation can end with, beside an exception of the code, which is a *RemoteError.
var (
	// ErrExceededCPU ends an invocation that used more CPU time than Limits.CPU.
	ErrExceededCPU = errors.New("the code used more CPU time than it may")
	// ErrExceededWall ends an invocation that had no answer within Limits.Wall.
	ErrExceededWall = errors.New("the code took longer than it may")
	// ErrHung ends an invocation whose code waits for something that can't come: nothing is under way.
	ErrHung = errors.New("the code had hung and would never generate a response")
	// ErrCanceled ends an invocation whose caller has gone.
	ErrCanceled = errors.New("the caller has gone")
	// ErrNoHandler is the answer to an event that the agent exports no handler for.
	ErrNoHandler = errors.New("the agent has no handler for this event")
	// ErrClosed is the answer of an actor that was closed.
	ErrClosed = errors.New("the actor is closed")
)

// errSubrequests is what code gets that asks the world too often.
var errSubrequests = errors.New("too many subrequests by one invocation")
