package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// dropPrivileges becomes another user if the process is root, and gives up every capability, on all threads. It reports whether
// the process now runs as a user of its own. An error says why it does not; the capabilities are gone all the same.
func dropPrivileges(user int) (changed bool, err error) {
	if os.Geteuid() == 0 {
		err = become(user)
		changed = err == nil
	}
	if e := dropCapabilities(); e != nil {
		return changed, errors.Join(err, e)
	}
	// A change of user resets both. The second keeps processes of the same user from reading this one's memory.
	if e := allThreadsPrctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL)); e != nil {
		return changed, errors.Join(err, fmt.Errorf("end with the gateway: %w", e))
	}
	if e := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); e != nil {
		return changed, errors.Join(err, fmt.Errorf("become undumpable: %w", e))
	}
	return changed, err
}

func become(user int) error {
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("leave the groups: %w", err)
	}
	if err := syscall.Setresgid(user, user, user); err != nil {
		return fmt.Errorf("change the group: %w", err)
	}
	if err := syscall.Setresuid(user, user, user); err != nil {
		return fmt.Errorf("change the user: %w", err)
	}
	return nil
}

func dropCapabilities() error {
	if err := allThreadsPrctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL); err != nil {
		return fmt.Errorf("clear the ambient capabilities: %w", err)
	}
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	none := &[2]unix.CapUserData{}
	_, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(none)), 0)
	runtime.KeepAlive(header)
	runtime.KeepAlive(none)
	if errno != 0 {
		return fmt.Errorf("drop the capabilities: %w", errno)
	}
	return nil
}

// allThreadsPrctl is prctl(2) on every thread of the process, for what belongs to a thread.
func allThreadsPrctl(option, arg uintptr) error {
	if _, _, errno := psx.Syscall6(unix.SYS_PRCTL, option, arg, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
