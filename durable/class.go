package durable

import "context"

// Class makes the instances of one namespace's actors. The directory compares classes with ==, so a class is
// best a pointer.
type Class interface {
	// Activate makes the instance of an actor. It is not called for an actor whose instance still exists.
	// ctx ends when the directory closes.
	Activate(ctx context.Context, a Activation) (Instance, error)
}

// Instance is one actor in memory. The directory may call its methods from any goroutine.
type Instance interface {
	// Alarm runs the alarm handler and returns once the outcome is durable, the retry of a handler that
	// failed included. An error says that the handler could not be run: the alarm stays and the directory
	// tries again later.
	Alarm(ctx context.Context) error
	// Broken returns a non-nil reason once the instance must be dropped. It must be quick.
	Broken() error
	// Close ends the instance and returns when nothing of it runs any more. Events in flight fail with
	// reason. It is called once.
	Close(reason error)
}

// Busy is implemented by an instance that may be busy while no handle is held, for example with a timer or a
// background task. The directory asks before it drops an idle instance, and must get a quick answer.
type Busy interface{ Busy() bool }

// Activation is what a class gets to make an instance.
type Activation struct {
	Key   Key
	Fence Fence
	// Name is the name the actor was reached by, or the stored one. It may be empty.
	Name string
	// State is what the store knows of the actor.
	State State
	// Backend reaches the actor's stored state.
	Backend Backend
}

// StorageConfig returns the config of the actor's storage.
func (a Activation) StorageConfig() StorageConfig {
	return StorageConfig{Backend: a.Backend, Fence: a.Fence, State: a.State, Name: a.Name}
}
