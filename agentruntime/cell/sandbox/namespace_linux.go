package sandbox

import (
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
)

// isolation is a set of namespaces for a process to be started in.
type isolation struct {
	flags uintptr
	names []string
	user  bool // a user namespace too, which is what lets an unprivileged gateway make the others
}

var (
	own       = ownNamespaces()
	ownAsUser = isolation{flags: own.flags, names: slices.Concat(own.names, []string{"user"}), user: true}
	shared    = isolation{}
)

// ownNamespaces has no network but a loopback interface that is down, shares no System V memory, and sees no other process.
func ownNamespaces() isolation {
	i := isolation{flags: syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS, names: []string{"net", "ipc", "uts"}}
	if ownProcesses {
		i.flags |= syscall.CLONE_NEWPID
		i.names = append(i.names, "pid")
	}
	return i
}

// granted is what the system granted before, so that each process does not try in vain.
var granted atomic.Pointer[isolation]

func rememberIsolation(i isolation) { granted.Store(&i) }

// isolations returns what to ask for, most first.
func isolations() []isolation {
	if last := granted.Load(); last != nil {
		return []isolation{*last}
	}
	if os.Geteuid() == 0 {
		return []isolation{own, ownAsUser, shared}
	}
	return []isolation{ownAsUser, shared}
}

func (i isolation) apply(attr *syscall.SysProcAttr) {
	attr.Cloneflags = i.flags
	if !i.user {
		return
	}
	attr.Cloneflags |= syscall.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Geteuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getegid(), Size: 1}}
}

// starter is a thread that lasts as long as the gateway. See lasting.
var starter = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for do := range work {
			do()
		}
	}()
	return work
})

// lasting runs do on a thread that lasts: PR_SET_PDEATHSIG fires when the thread that started a process ends, not only when
// its process does, and Go ends a thread when a goroutine that is locked to it returns.
func lasting(do func()) {
	done := make(chan struct{})
	starter() <- func() { defer close(done); do() }
	<-done
}
