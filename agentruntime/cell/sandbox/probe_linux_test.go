package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// probe is something that a process in the sandbox must not be able to do.
type probe struct {
	name string
	call string // the call that is refused, by the name in which it is reported; "" when the kernel refuses it by itself
	do   func(outside int) error
}

// probes try what a process would try that has been taken over. outside is the id of a process that is not the probe's own.
var probes = []probe{
	{"open a file", "openat", func(int) error { return closing(unix.Open("/etc/passwd", unix.O_RDONLY, 0)) }},
	{"create a file", "openat", func(int) error { return os.WriteFile(os.TempDir()+"/gatehouse-probe", nil, 0o600) }},
	{"open with openat2", "openat2", func(int) error { return closing(unix.Openat2(unix.AT_FDCWD, "/etc/passwd", &unix.OpenHow{})) }},
	{"list a directory", "openat", func(int) error { _, err := os.ReadDir("/"); return err }},
	{"read another's memory map", "openat", func(pid int) error { _, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid)); return err }},
	{"read its own memory", "openat", func(int) error { return closing(unix.Open("/proc/self/mem", unix.O_RDWR, 0)) }},
	{"look a path up", "newfstatat", func(int) error { _, err := os.Stat("/etc"); return err }},
	{"change directory", "chdir", func(int) error { return unix.Chdir("/") }},
	{"remove a file", "unlinkat", func(int) error { return unix.Unlinkat(unix.AT_FDCWD, "/tmp/gatehouse-probe", 0) }},
	{"make a TCP socket", "socket", func(int) error { return closing(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)) }},
	{"make a Unix socket", "socket", func(int) error { return closing(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)) }},
	{"make a socket pair", "socketpair", func(int) error { _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0); return err }},
	{"connect", "connect", func(int) error { return unix.Connect(1, &unix.SockaddrInet4{Port: 80, Addr: [4]byte{127, 0, 0, 1}}) }},
	{"bind", "bind", func(int) error { return unix.Bind(1, &unix.SockaddrInet4{}) }},
	{"listen", "listen", func(int) error { return unix.Listen(1, 1) }},
	{"accept", "accept4", func(int) error { _, _, err := unix.Accept4(1, 0); return err }},
	{"receive a descriptor", "recvmsg", func(int) error {
		_, _, _, _, err := unix.Recvmsg(1, make([]byte, 1), nil, unix.MSG_DONTWAIT)
		return err
	}},
	{"send a descriptor", "sendmsg", func(int) error { return unix.Sendmsg(1, []byte{0}, unix.UnixRights(1), nil, 0) }},
	{"run a program", "execve", func(int) error { return unix.Exec("/bin/true", []string{"true"}, nil) }},
	{"run a program by its descriptor", "execveat", func(int) error {
		return raw(unix.SYS_EXECVEAT, 1, uintptr(unsafe.Pointer(&[1]byte{})), 0, 0, unix.AT_EMPTY_PATH)
	}},
	{"start a program as Go does", "", func(int) error { return exec.Command("/proc/self/exe").Start() }},
	{"fork", "clone", func(int) error { return forked(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0) }},
	{"fork by clone3", "", func(int) error {
		args := [11]uint64{4: uint64(unix.SIGCHLD)}
		return forked(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args))
	}},
	{"make a program in memory", "memfd_create", func(int) error { return closing(unix.MemfdCreate("x", 0)) }},
	{"map machine code", "mmap", func(int) error {
		_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
		return err
	}},
	{"make memory executable", "mprotect", func(int) error {
		page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return fmt.Errorf("not what was to be tried: %w", err)
		}
		return unix.Mprotect(page, unix.PROT_READ|unix.PROT_EXEC)
	}},
	{"trace another process", "ptrace", func(pid int) error { return unix.PtraceAttach(pid) }},
	{"read another's memory", "process_vm_readv", func(pid int) error {
		b := make([]byte, 8)
		_, err := unix.ProcessVMReadv(pid, []unix.Iovec{{Base: &b[0], Len: 8}}, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
		return err
	}},
	{"write another's memory", "process_vm_writev", func(pid int) error {
		b := make([]byte, 8)
		_, err := unix.ProcessVMWritev(pid, []unix.Iovec{{Base: &b[0], Len: 8}}, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
		return err
	}},
	{"signal another process", "kill", func(pid int) error { return unix.Kill(pid, 0) }},
	{"signal every process", "kill", func(int) error { return unix.Kill(-1, 0) }},
	{"signal another's thread", "tgkill", func(pid int) error { return unix.Tgkill(pid, pid, 0) }},
	{"signal by a thread's number alone", "tkill", func(pid int) error { return raw(unix.SYS_TKILL, uintptr(pid), 0) }},
	{"take hold of another process", "pidfd_open", func(pid int) error { return closing(unix.PidfdOpen(pid, 0)) }},
	{"signal by a descriptor", "fcntl", func(pid int) error { _, err := unix.FcntlInt(1, unix.F_SETOWN, pid); return err }},
	{"mount", "mount", func(int) error { return unix.Mount("none", "/", "tmpfs", 0, "") }},
	{"change the root", "chroot", func(int) error { return unix.Chroot("/") }},
	{"make a namespace", "unshare", func(int) error { return unix.Unshare(unix.CLONE_NEWUSER) }},
	{"enter a namespace", "setns", func(int) error { return unix.Setns(1, 0) }},
	{"become root", "setresuid", func(int) error { return raw(unix.SYS_SETRESUID, 0, 0, 0) }},
	{"take capabilities", "capset", func(int) error {
		return unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &make([]unix.CapUserData, 2)[0])
	}},
	{"become dumpable", "prctl", func(int) error { return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) }},
	{"outlive the gateway", "prctl", func(int) error { return unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0) }},
	{"install another filter", "seccomp", func(int) error { return raw(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_STRICT, 0, 0) }},
	{"raise a limit", "prlimit64", func(int) error { return unix.Prlimit(0, unix.RLIMIT_DATA, &unix.Rlimit{}, nil) }},
	{"use io_uring", "io_uring_setup", func(int) error {
		return raw(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&[120]byte{})))
	}},
	{"load a BPF program", "bpf", func(int) error { return raw(unix.SYS_BPF, 5, 0, 0) }},
	{"read a key", "keyctl", func(int) error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false); return err }},
	{"add a key", "add_key", func(int) error {
		_, err := unix.AddKey("user", "x", []byte("x"), unix.KEY_SPEC_SESSION_KEYRING)
		return err
	}},
	{"watch performance events", "perf_event_open", func(int) error {
		return closing(unix.PerfEventOpen(&unix.PerfEventAttr{}, 0, -1, -1, 0))
	}},
	{"handle page faults", "userfaultfd", func(int) error { return raw(unix.SYS_USERFAULTFD, 0) }},
	{"watch files", "inotify_init1", func(int) error { return closing(unix.InotifyInit1(0)) }},
	{"type into a terminal", "ioctl", func(int) error { return unix.IoctlSetInt(1, unix.TIOCSTI, 0) }},
	{"set the host's name", "sethostname", func(int) error { return unix.Sethostname([]byte("x")) }},
	{"set the clock", "clock_settime", func(int) error { return raw(unix.SYS_CLOCK_SETTIME, 0, 0) }},
	{"load a module", "init_module", func(int) error { return unix.InitModule(nil, "") }},
}

func closing(fd int, err error) error {
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func raw(call uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, errno := unix.Syscall6(call, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

// forked makes a process by a raw call; a child that comes of it ends at once.
func forked(call, a, b uintptr) error {
	child, _, errno := syscall.RawSyscall(call, a, b, 0)
	if errno != 0 {
		return errno
	}
	if child == 0 {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	return nil
}

// refusal reports whether an error is the sandbox's. What does not exist in it (clone3) and what is not known at all count too.
func refusal(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS)
}
