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
// the process now runs as a user of its own. An error says why it does not; the capabilities are gone all the same. One that is
// to read files stays who it is, and as root keeps the capability to read those of others.
func dropPrivileges(user int, reads bool) (changed bool, err error) {
	kept := uint32(0)
	switch {
	case reads:
		kept = 1 << unix.CAP_DAC_READ_SEARCH
	case os.Geteuid() == 0:
		err = become(user)
		changed = err == nil
	}
	if e := dropCapabilities(kept); e != nil {
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

// dropCapabilities gives up all capabilities but those of kept, a mask of the first 32, that the process has.
func dropCapabilities(kept uint32) error {
	if err := allThreadsPrctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL); err != nil {
		return fmt.Errorf("clear the ambient capabilities: %w", err)
	}
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	have := &[2]unix.CapUserData{}
	if err := unix.Capget(header, &have[0]); err != nil {
		return fmt.Errorf("read the capabilities: %w", err)
	}
	kept &= have[0].Permitted
	left := &[2]unix.CapUserData{{Effective: kept, Permitted: kept}}
	_, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(left)), 0)
	runtime.KeepAlive(header)
	runtime.KeepAlive(left)
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
