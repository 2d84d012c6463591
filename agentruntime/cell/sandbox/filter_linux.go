package sandbox

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"unsafe"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// allowed are the system calls that a Go program makes which has its descriptors already: it reads and writes them, waits,
// keeps its memory and its threads, takes the time and random bytes. No call here names a path, makes a socket, starts a
// program, receives a descriptor, or touches another process. Names that an architecture does not have are passed over.
var allowed = []string{
	// Descriptors that exist.
	"read", "readv", "pread64", "write", "writev", "close", "shutdown", "fstat",
	"recvfrom", "sendto", "getsockopt", "getsockname", "getpeername",
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2", "poll", "ppoll",
	// Memory; mmap and mprotect are below.
	"munmap", "madvise", "mincore", "brk",
	// Threads and their signals; clone, tgkill and prctl are below.
	"futex", "nanosleep", "clock_nanosleep", "sched_yield", "sched_getaffinity", "gettid", "exit", "exit_group",
	"set_robust_list", "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall",
	"setitimer", "timer_create", "timer_settime", "timer_delete", // the CPU profiler's
	// What the kernel tells about this process, and the time.
	"clock_gettime", "clock_getres", "gettimeofday", "time", "getrandom", "getrusage",
	"getpid", "getppid", "getuid", "geteuid", "getgid", "getegid",
}

// reading are the calls that look for files and at them. Opening one is below.
var reading = []string{
	"newfstatat", "fstatat64", "lstat", "stat", "statx", "getdents64", "readlink", "readlinkat", "lseek", "getcwd", "faccessat", "faccessat2",
}

// cloneThread are the flags with which a thread is made, by Go and by C libraries; no other flag may be there, so that no
// process and no namespace can be made.
const (
	cloneThread = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD | unix.CLONE_SYSVSEM
	cloneExtras = unix.CLONE_SETTLS | unix.CLONE_PARENT_SETTID | unix.CLONE_CHILD_CLEARTID | unix.CLONE_DETACHED
)

// onlyWith are calls that are allowed with certain arguments.
func onlyWith(o Options) []seccomp.NameWithConditions {
	type conditions = seccomp.ArgumentConditions
	calls := []seccomp.NameWithConditions{
		{Name: "clone", Conditions: conditions{
			{Argument: 0, Operation: seccomp.BitsSet, Value: unix.CLONE_THREAD},
			{Argument: 0, Operation: seccomp.BitsNotSet, Value: ^uint64(cloneThread | cloneExtras)},
		}},
		// Go preempts a goroutine by a signal to its thread.
		{Name: "tgkill", Conditions: conditions{{Argument: 0, Operation: seccomp.Equal, Value: uint64(os.Getpid())}}},
		// Go names its memory mappings.
		{Name: "prctl", Conditions: conditions{{Argument: 0, Operation: seccomp.Equal, Value: unix.PR_SET_VMA}}},
	}
	// Not F_SETOWN and F_SETSIG, with which a descriptor signals another process.
	for _, command := range []uint64{unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL, unix.F_DUPFD_CLOEXEC} {
		calls = append(calls, seccomp.NameWithConditions{Name: "fcntl", Conditions: conditions{
			{Argument: 1, Operation: seccomp.Equal, Value: command}}})
	}
	for _, name := range []string{"mmap", "mprotect"} {
		// Without machine code nothing that was written can become executable.
		forbidden := uint64(unix.PROT_EXEC)
		if o.MachineCode {
			forbidden = 0
		}
		calls = append(calls, seccomp.NameWithConditions{Name: name, Conditions: conditions{
			{Argument: 2, Operation: seccomp.BitsNotSet, Value: forbidden}}})
	}
	if len(o.Read) > 0 {
		calls = append(calls, seccomp.NameWithConditions{Name: "openat", Conditions: conditions{
			{Argument: 2, Operation: seccomp.BitsNotSet, Value: unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC | unix.O_APPEND | unix.O_TMPFILE&^unix.O_DIRECTORY}}})
		// esbuild asks whether it has a terminal. It has none.
		calls = append(calls, seccomp.NameWithConditions{Name: "ioctl", Conditions: conditions{
			{Argument: 1, Operation: seccomp.Equal, Value: unix.TCGETS}}})
	}
	if o.Report >= 0 {
		// The listener itself has to be sent once the filter holds.
		calls = append(calls, seccomp.NameWithConditions{Name: "sendmsg", Conditions: conditions{
			{Argument: 0, Operation: seccomp.Equal, Value: uint64(o.Report)}}})
	}
	return calls
}

// program assembles the filter; what it does not allow meets the action otherwise.
func program(o Options, otherwise seccomp.Action) ([]bpf.RawInstruction, error) {
	machine, err := arch.GetInfo("")
	if err != nil {
		return nil, fmt.Errorf("no table of system calls: %w", err)
	}
	names := allowed
	if len(o.Read) > 0 {
		names = slices.Concat(allowed, reading)
	}
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, ok := machine.SyscallNames[name]
		return !ok
	})
	policy := seccomp.Policy{
		// The library knows user notification as an action of a group, not as the default: the last instruction, which is
		// also where a call of another architecture ends, is replaced below.
		DefaultAction: seccomp.ActionKillProcess,
		Syscalls: []seccomp.SyscallGroup{
			{Action: seccomp.ActionAllow, Names: names, NamesWithCondtions: onlyWith(o)},
			// C libraries fall back to clone, whose flags a filter can see, when this does not exist.
			{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: []string{"clone3"}},
		},
	}
	instructions, err := policy.Assemble()
	if err != nil {
		return nil, fmt.Errorf("assemble the filter: %w", err)
	}
	last := len(instructions) - 1
	if instructions[last] != (bpf.RetConstant{Val: uint32(seccomp.ActionKillProcess)}) {
		return nil, errors.New("the assembled filter does not end in its default action")
	}
	instructions[last] = bpf.RetConstant{Val: uint32(otherwise)}
	return bpf.Assemble(instructions)
}

// installFilter puts the filter on all threads. Where the kernel can, it sends the listener to the gateway, which then hears of
// each refused call; else the first refused call ends the process, which the gateway sees by its signal, SIGSYS.
func installFilter(o Options) (how string, err error) {
	if o.Report >= 0 {
		const flags = unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
		// Without the last flag a thread's signals interrupt its waiting, and the call is made and reported again.
		for _, flags := range []uintptr{flags | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, flags} {
			listener, err := setFilter(o, seccomp.ActionUserNotify, flags)
			if err != nil {
				continue
			}
			err = sendDescriptor(o.Report, listener)
			unix.Close(listener)
			if err != nil {
				return "", fmt.Errorf("send the filter's listener: %w", err)
			}
			return "reporting", nil
		}
	}
	if _, err := setFilter(o, seccomp.ActionKillProcess, unix.SECCOMP_FILTER_FLAG_TSYNC); err != nil {
		return "", err
	}
	return "killing", nil
}

func setFilter(o Options, otherwise seccomp.Action, flags uintptr) (listener int, err error) {
	instructions, err := program(o, otherwise)
	if err != nil {
		return -1, err
	}
	filter := make([]unix.SockFilter, len(instructions))
	for i, in := range instructions {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return -1, fmt.Errorf("install the filter: %w", errno)
	}
	if flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER == 0 && r != 0 {
		return -1, fmt.Errorf("install the filter: thread %d cannot be held by it", r)
	}
	return int(r), nil
}
