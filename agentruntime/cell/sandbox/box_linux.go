package sandbox

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Box is the gateway's half of one process: made before it, closed after it. Its methods may be called from several
// goroutines, Start once and before the others.
type Box struct {
	config Config

	group      *group   // nil without a cgroup
	far        *os.File // the process's end of the report socket, until it is started
	meter      meter
	namespaces []string
	missing    []string
	listening  sync.WaitGroup
}

// New makes a box. What the machine does not offer is left out, and Box.InForce says so; an error means that the machine is
// out of something it has, such as descriptors.
func New(config Config) (*Box, error) {
	b := &Box{config: config}
	if config.Memory > 0 {
		var err error
		if b.group, err = newGroup(config.Memory); err != nil {
			b.missing = append(b.missing, err.Error())
		}
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a report socket: %w", err), b.Close())
	}
	b.far = os.NewFile(uintptr(pair[1]), "report")
	b.listening.Go(func() { listen(pair[0], config.Refused) })
	return b, nil
}

// File is the descriptor that the process must inherit, under the number that is passed to Options. The Box closes it.
func (b *Box) File() *os.File { return b.far }

// Options is what the process must pass to Enter, when File has the number report in it. machineCode lets it make memory
// executable, which a compiler of WebAssembly needs; without it a process whose memory has been corrupted has no way to run
// machine code of its own.
func (b *Box) Options(report int, machineCode bool) Options {
	o := Options{Report: report, MachineCode: machineCode}
	if b.group == nil && b.config.Memory > 0 {
		o.Data = b.config.Memory
	}
	return o
}

// Bound changes the most memory that the process may use, before it enters: a process may be started before it is known
// what for.
func (b *Box) Bound(memory int64) error {
	b.config.Memory = memory
	if b.group == nil {
		return nil // Options carries it
	}
	return b.group.bound(memory)
}

// Start lets start start the process, with the attributes it is given, and takes the process into the box. It calls start
// again with fewer attributes when the system does not grant some. When it fails after the process has been started, the
// process is killed; whoever started it still has to wait for it.
//
// The process gets SIGKILL when the gateway ends, however it ends. The kernel watches the thread that started it, so start
// is called on a thread that lasts.
func (b *Box) Start(start func(*syscall.SysProcAttr) (pid int, err error)) error {
	defer b.far.Close()
	var pid int
	var err error
	for _, want := range isolations() {
		attr := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
		want.apply(attr)
		if b.group != nil {
			b.group.apply(attr)
		}
		lasting(func() { pid, err = start(attr) })
		if err == nil {
			b.namespaces = want.names
			rememberIsolation(want)
			break
		}
		if !notGranted(err) {
			return err
		}
		if len(want.names) > 0 {
			b.missing = append(b.missing, fmt.Sprintf("namespaces %v: %v", want.names, err))
		}
	}
	if err != nil {
		return err
	}
	if b.group != nil {
		err = b.group.add(pid)
	}
	if err == nil {
		b.meter, err = newMeter(pid)
	}
	if err != nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return err
}

// notGranted reports whether starting a process failed because of what was asked for, so that asking for less may help.
func notGranted(err error) bool {
	return slices.ContainsFunc([]error{unix.EPERM, unix.EACCES, unix.EINVAL, unix.ENOSPC, unix.ENOSYS, unix.EUSERS},
		func(e error) bool { return errors.Is(err, e) })
}

// Usage is what the process has used so far. It costs two system calls. It fails once the process has ended.
func (b *Box) Usage() (Usage, error) { return b.meter.usage() }

// OutOfMemory reports whether the kernel killed the process because it would have passed its memory. Without a cgroup the
// kernel does not tell, and it is false.
func (b *Box) OutOfMemory() bool { return b.group != nil && b.group.killed() }

// InForce adds what the gateway's side knows to what the process reported.
func (b *Box) InForce(reported InForce) InForce {
	f := reported
	f.Memory = ""
	switch {
	case b.group != nil:
		f.Memory = b.group.kind
	case b.config.Memory > 0:
		f.Memory = reported.Memory
	}
	f.Namespaces = b.namespaces
	f.Missing = slices.Concat(b.missing, reported.Missing)
	return f
}

// Close gives back what the box holds. The process must have ended and been waited for; if it never called Enter, Close ends
// when the last holder of File is gone.
func (b *Box) Close() error {
	if b.far != nil {
		b.far.Close()
	}
	b.listening.Wait()
	b.meter.close()
	if b.group != nil {
		return b.group.remove()
	}
	return nil
}
