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
	// ErrNoBinding is a Host's answer to a name that the agent has no binding for. Code cannot ask for one; a cell that was
	// taken over can.
	ErrNoBinding = errors.New("no such binding")
	// ErrClosed is the answer of an actor that was closed.
	ErrClosed = errors.New("the actor is closed")
)

// errSubrequests is what code gets that asks the world too often.
var errSubrequests = errors.New("too many subrequests by one invocation")
