package agentruntime

import "errors"

// What an invocation can end with, beside an exception of the code, which is a *RemoteError.
var (
	// ErrExceededCPU ends an invocation that used more CPU time than Limits.CPU.
	ErrExceededCPU = errors.New("the code used more CPU time than it may")
	// ErrExceededWall ends an invocation that had no answer within Limits.Wall.
	ErrExceededWall = errors.New("the code took longer than it may")
	// ErrExceededMemory ends an invocation in a process that used more memory than it may.
	ErrExceededMemory = errors.New("the code used more memory than it may")
	// ErrCanceled ends an invocation whose caller has gone.
	ErrCanceled = errors.New("the caller has gone")
	// ErrClosed is the answer of an actor that was closed.
	ErrClosed = errors.New("the actor is closed")
)

// errSubrequests is what code gets that asks the world too often.
var errSubrequests = errors.New("too many subrequests by one invocation")
