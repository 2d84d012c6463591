package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// meter reads what a process uses. It keeps /proc/PID/statm open: one pread a reading, and a number that the kernel gives to
// another process later cannot be mistaken for this one.
type meter struct {
	statm *os.File
	clock int32
}

var pageSize = int64(os.Getpagesize())

func newMeter(pid int) (meter, error) {
	statm, err := os.Open(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return meter{}, fmt.Errorf("watch a process: %w", err)
	}
	// The kernel's encoding of a process's CPU clock, clock_getcpuclockid(3): the complement of its id, then
	// CPUCLOCK_SCHED (2).
	return meter{statm: statm, clock: ^int32(pid)<<3 | 2}, nil
}

var lines = sync.Pool{New: func() any { return new([128]byte) }}

func (m meter) usage() (Usage, error) {
	if m.statm == nil {
		return Usage{}, errors.New("the process has not been started")
	}
	line := lines.Get().(*[128]byte)
	defer lines.Put(line)
	n, err := m.statm.ReadAt(line[:], 0) // a file's own method, which may meet its Close
	if err != nil && err != io.EOF {
		return Usage{}, fmt.Errorf("read a process's memory: %w", err)
	}
	// "size resident shared text lib data dt", in pages; all zero or nothing at all once the process has ended.
	var pages [3]int64
	rest := line[:n]
	for i := range pages {
		var field []byte
		field, rest, _ = bytes.Cut(rest, []byte(" "))
		if pages[i], err = strconv.ParseInt(string(field), 10, 64); err != nil {
			return Usage{}, fmt.Errorf("read a process's memory: %w", unix.ESRCH)
		}
	}
	if pages[0] == 0 {
		return Usage{}, fmt.Errorf("read a process's memory: %w", unix.ESRCH)
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(m.clock, &ts); err != nil {
		return Usage{}, fmt.Errorf("read a process's CPU time: %w", unix.ESRCH)
	}
	return Usage{Memory: (pages[1] - pages[2]) * pageSize, CPU: time.Duration(ts.Nano())}, nil
}

func (m meter) close() {
	if m.statm != nil {
		m.statm.Close()
	}
}
