package agentruntime

import (
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func lockThread()   { runtime.LockOSThread() }
func unlockThread() { runtime.UnlockOSThread() }

// threadClock is the CPU clock of one thread, clock_gettime(2).
type threadClock struct{ id int32 }

// here makes c the clock of the calling thread.
func (c *threadClock) here() {
	// The kernel's encoding of a thread's CPU clock: the complement of the thread's id, then CPUCLOCK_SCHED (2) and
	// the per-thread bit (4).
	c.id = ^int32(unix.Gettid())<<3 | 6
}

// now reads the clock on its own thread.
func (c *threadClock) now() time.Duration { return readClock(unix.CLOCK_THREAD_CPUTIME_ID) }

// outside reads the clock from any thread.
func (c *threadClock) outside() time.Duration { return readClock(c.id) }

// readClock is clock_gettime as a raw system call: it does not wait, and telling the scheduler about it costs a busy
// process several microseconds a turn.
func readClock(id int32) time.Duration {
	var ts unix.Timespec
	if _, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, uintptr(id), uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		return 0
	}
	return time.Duration(ts.Nano())
}
