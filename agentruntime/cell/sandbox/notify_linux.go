package sandbox

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// The kernel asks whoever holds a filter's listener what to do about a call that the filter did not decide, and lets the thread
// wait for the answer: seccomp_unotify(2). The answer here is always a refusal, so nothing that the process could change
// between question and answer matters. What this is for is that the gateway learns of each attempt from the kernel; a
// process that has been taken over cannot keep it quiet.

// notification is struct seccomp_notif.
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// answer is struct seccomp_notif_resp.
type answer struct {
	id    uint64
	val   int64
	error int32
	flags uint32
}

// listen receives the filter's listener over the report socket and then answers its notifications until the process is
// gone. It takes the socket over.
func listen(socket int, refused func(Call)) {
	fd, ok := receiveDescriptor(socket)
	if !ok {
		return
	}
	listener, err := pollable(fd, "seccomp listener")
	if err != nil {
		unix.Close(fd)
		return
	}
	defer listener.Close()
	conn, err := listener.SyscallConn()
	if err != nil {
		return
	}
	for {
		var n notification
		var end, have bool
		err := conn.Read(func(fd uintptr) bool {
			// Receiving blocks even on a descriptor that must not, so look before.
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if ready, err := unix.Poll(poll, 0); err != nil || ready == 0 {
				return false
			}
			if poll[0].Revents&unix.POLLIN == 0 {
				end = true // nobody is left whom the filter holds
				return true
			}
			n = notification{}
			have = ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)) == nil
			return true
		})
		if err != nil || end {
			return
		}
		if !have {
			continue // the thread ended before it could be heard
		}
		if refused != nil {
			refused(Call{Name: callName(n.arch, n.nr), Args: n.args, PID: int(n.pid)})
		}
		a := answer{id: n.id, error: -int32(unix.EPERM)}
		_ = conn.Control(func(fd uintptr) { _ = ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a)) })
	}
}

// receiveDescriptor waits for a message with one descriptor. It fails when the other end was closed before.
func receiveDescriptor(socket int) (fd int, ok bool) {
	file, err := pollable(socket, "report")
	if err != nil {
		unix.Close(socket)
		return -1, false
	}
	defer file.Close()
	conn, err := file.SyscallConn()
	if err != nil {
		return -1, false
	}
	fd = -1
	_ = conn.Read(func(s uintptr) bool {
		var data [1]byte
		control := make([]byte, unix.CmsgSpace(4))
		n, cn, _, _, err := unix.Recvmsg(int(s), data[:], control, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return false
		}
		if err != nil || n == 0 {
			return true
		}
		messages, err := unix.ParseSocketControlMessage(control[:cn])
		if err != nil || len(messages) != 1 {
			return true
		}
		if fds, err := unix.ParseUnixRights(&messages[0]); err == nil && len(fds) == 1 {
			fd = fds[0]
		}
		return true
	})
	return fd, fd >= 0
}

// sendDescriptor is the other end of receiveDescriptor.
func sendDescriptor(socket, fd int) error {
	return unix.Sendmsg(socket, []byte{0}, unix.UnixRights(fd), nil, 0)
}

// pollable makes a file whose reads wait in the runtime's poller and not in a thread.
func pollable(fd int, name string) (*os.File, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("make %s non-blocking: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func ioctl(fd uintptr, request uint, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, uintptr(request), uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

func callName(audit uint32, nr int32) string {
	own, err := arch.GetInfo("")
	if err != nil {
		return fmt.Sprintf("call %d", nr)
	}
	if uint32(own.ID) != audit {
		return fmt.Sprintf("call %d of architecture %#x", nr, audit)
	}
	if name, ok := own.SyscallNumbers[int(nr)]; ok {
		return name
	}
	return fmt.Sprintf("call %d", nr)
}

// The layouts above are the kernel's for every architecture: fixed widths, no padding.
var (
	_ [80]byte = [unsafe.Sizeof(notification{})]byte{}
	_ [24]byte = [unsafe.Sizeof(answer{})]byte{}
)
