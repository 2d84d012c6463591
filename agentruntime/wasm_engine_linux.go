package agentruntime

import (
	"sync"

	"golang.org/x/sys/unix"
)

// machineCodeAllowed reports whether the process may make memory executable, which a sandbox may forbid.
var machineCodeAllowed = sync.OnceValue(func() bool {
	page, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return false
	}
	defer unix.Munmap(page)
	return unix.Mprotect(page, unix.PROT_READ|unix.PROT_EXEC) == nil
})
