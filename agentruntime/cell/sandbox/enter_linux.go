package sandbox

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/landlock-lsm/go-landlock/landlock"
	llsyscall "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// nobody is the user that a root gateway's processes become.
const nobody = 65534

// Enter gives up, for the whole process and for good, what it has no use for. The descriptors it has stay usable; it can get
// no others but what epoll, eventfd and dup make. It must be called once, before any code that is not trusted.
//
// What reads files at its first use has to be used before: Enter does so for the local time zone; other zones need
// time/tzdata linked in, and the mime and net packages look for files of their own.
//
// A part that cannot be put in force is left out and listed in InForce.Missing. An error means that a part broke half way;
// the process must then end.
func Enter(o Options) (InForce, error) {
	if o.User == 0 {
		o.User = nobody
	}
	_ = time.Now().Local().String()
	if _, err := rand.Read(make([]byte, 1)); err != nil {
		return InForce{}, fmt.Errorf("read random bytes: %w", err)
	}
	var f InForce
	missing := func(what string, err error) {
		if err != nil {
			f.Missing = append(f.Missing, fmt.Sprintf("%s: %v", what, err))
		}
	}
	// When the machine runs out of memory it is this process that has to go, and not its gateway.
	missing("first to go when memory runs out", os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0))
	if err := limitResources(o); err != nil {
		return f, err
	}
	if o.Data > 0 {
		f.Memory = "rlimit"
	}
	user, err := dropPrivileges(o.User, len(o.Read) > 0)
	missing("another user", err)
	f.User = user
	if err := allThreadsPrctl(unix.PR_SET_NO_NEW_PRIVS, 1); err != nil {
		return f, fmt.Errorf("set no_new_privs: %w", err)
	}
	if f.Landlock, err = restrictPaths(o.Read); err != nil {
		missing("landlock", err)
	}
	if f.Seccomp, err = installFilter(o); err != nil {
		missing("seccomp", err)
	}
	if o.Report >= 0 {
		unix.Close(o.Report)
	}
	return f, nil
}

// limitResources sets the limits that the process cannot raise again. RLIMIT_AS is not among them: Go reserves address space by
// the hundred megabytes and uses little of it, so it is data, private memory that can be written, that is counted.
func limitResources(o Options) error {
	limits := map[int]uint64{
		unix.RLIMIT_CORE:     0, // a core dump would put what the code holds on a disk
		unix.RLIMIT_NOFILE:   256,
		unix.RLIMIT_MEMLOCK:  0,
		unix.RLIMIT_MSGQUEUE: 0,
	}
	if o.Data > 0 {
		data, err := writable()
		if err != nil {
			return err
		}
		limits[unix.RLIMIT_DATA] = uint64(data + o.Data)
	}
	for resource, most := range limits {
		var now unix.Rlimit
		if err := unix.Getrlimit(resource, &now); err != nil {
			return fmt.Errorf("read limit %d: %w", resource, err)
		}
		most = min(most, now.Max)
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: most, Max: most}); err != nil {
			return fmt.Errorf("set limit %d: %w", resource, err)
		}
	}
	return nil
}

// writable is how much private writable memory the process has mapped before it runs any code: Go maps more than it uses.
func writable() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, fmt.Errorf("read the size of the process: %w", err)
	}
	var size, resident, shared, program, lib, data int64
	if _, err := fmt.Sscan(string(text), &size, &resident, &shared, &program, &lib, &data); err != nil {
		return 0, fmt.Errorf("read the size of the process: %w", err)
	}
	return data * int64(os.Getpagesize()), nil
}

// restrictPaths denies every access that the kernel's Landlock knows: files, TCP ports, and signals and abstract
// sockets of processes outside. Only what is in the folders read may be read.
func restrictPaths(read []string) (version int, err error) {
	version, err = llsyscall.LandlockGetABIVersion()
	if err != nil || version < 1 {
		return 0, errors.New("the kernel does not offer it")
	}
	const reading = llsyscall.AccessFSReadFile | llsyscall.AccessFSReadDir
	if err := landlock.V11.BestEffort().Restrict(landlock.PathAccess(reading, read...)); err != nil {
		return 0, err
	}
	return version, nil
}
