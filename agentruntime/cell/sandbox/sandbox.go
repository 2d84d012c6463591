package sandbox

import (
	"slices"
	"strings"
	"time"
)

// Config is what the gateway wants of a Box. The zero value is usable.
type Config struct {
	// Memory is the most memory in bytes that the process may use, its own program included. 0 is without a bound.
	Memory int64
	// Refused is told of each system call that the kernel refused the process, on a goroutine of the Box. It must not
	// block for long, because the thread that made the call waits for it. Nil drops the reports; the calls are refused
	// all the same.
	Refused func(Call)
}

// Options is what a process passes to Enter. The gateway gets it from Box.Options and brings it to the process, as plain
// data in the form that suits the wire.
type Options struct {
	// Report is the number, in the process, of the descriptor that Box.File returned, or negative when there is none.
	Report int `json:"report"`
	// Data limits the bytes of private writable memory, RLIMIT_DATA. 0 leaves it: a cgroup bounds the memory.
	Data int64 `json:"data,omitempty"`
	// User is the user and group to become, if the process runs as root. 0 is 65534, which most systems call nobody.
	User int `json:"user,omitempty"`
	// MachineCode lets the process make memory executable.
	MachineCode bool `json:"machineCode,omitempty"`
	// Read are folders whose files the process may read, with all beneath them; nothing else of the disk, and nothing there
	// may be changed. Such a process stays the user that it is, because the files are that user's. It may still ask for
	// names and sizes of files elsewhere: where there is no Landlock, it may read all that the user can.
	Read []string `json:"read,omitempty"`
}

// Call is a system call that was refused.
type Call struct {
	Name string    // as in the manual, "connect"; "x86 call 11" for a call of another architecture's table
	Args [6]uint64 // as passed; pointers are the process's own and mean nothing here
	PID  int       // of the thread that made it, as the gateway counts
}

// Usage is what a process has used.
type Usage struct {
	Memory int64         // resident bytes of its own; the program's text, which all share, is not counted
	CPU    time.Duration // of all its threads since its start
}

// InForce says what holds a process. It is plain data, so that the process can tell its gateway; a gateway believes of it
// what it cannot see itself, because it is sent before any code has run.
type InForce struct {
	Seccomp    string   `json:"seccomp"`    // "reporting", "killing", or "" when there is no filter
	Landlock   int      `json:"landlock"`   // the version of the kernel's interface, 0 when there is none
	Memory     string   `json:"memory"`     // "cgroup2", "cgroup1", "rlimit", or "" when nothing but the supervisor's watch bounds it
	Namespaces []string `json:"namespaces"` // of its own, such as "net" and "pid"
	User       bool     `json:"user"`       // it runs as a user that is neither root nor the gateway's
	Missing    []string `json:"missing"`    // why parts do not hold, one sentence each
}

// Parts are the names that require_sandbox knows, in the order of InForce's fields.
var Parts = []string{"seccomp", "landlock", "memory"}

// Lacks returns those of the required parts that do not hold. A part that is not in Parts never holds.
func (f InForce) Lacks(required []string) []string {
	return slices.DeleteFunc(slices.Clone(required), func(part string) bool {
		switch part {
		case "seccomp":
			return f.Seccomp != ""
		case "landlock":
			return f.Landlock > 0
		case "memory":
			return f.Memory != ""
		}
		return false
	})
}

// String is for the log: what holds, and why the rest does not.
func (f InForce) String() string {
	var held []string
	if f.Seccomp != "" {
		held = append(held, "seccomp ("+f.Seccomp+")")
	}
	if f.Landlock > 0 {
		held = append(held, "landlock")
	}
	if f.Memory != "" {
		held = append(held, "memory ("+f.Memory+")")
	}
	if len(f.Namespaces) > 0 {
		held = append(held, "namespaces ("+strings.Join(f.Namespaces, ", ")+")")
	}
	if f.User {
		held = append(held, "user")
	}
	out := "nothing"
	if len(held) > 0 {
		out = strings.Join(held, ", ")
	}
	if len(f.Missing) > 0 {
		out += "; missing: " + strings.Join(f.Missing, "; ")
	}
	return out
}
