package cell

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/sandbox"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/wire"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/worker"
)

// reportDescriptor is the number in the cell of the descriptor that its sandbox reports over; the socket is the one before.
const reportDescriptor = 4

// ownProgram is the file that runs now, even if another one has taken its place.
const ownProgram = "/proc/self/exe"

// program is the file to start for a process of our own.
func program() (string, error) { return ownProgram, nil }

// environment is that of a cell. A build with cgo has the C library's allocator in it, which would look for the number of
// processors in files.
var environment = []string{"MALLOC_ARENA_MAX=1"}

// launch starts a process that has nothing but its socket and its sandbox's: no environment to speak of, no standard input or output. It
// ends with the gateway, however that ends.
func (p *Pool) launch() (*process, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cell: make a socket: %w", err)
	}
	near, far := os.NewFile(uintptr(pair[0]), "cell"), os.NewFile(uintptr(pair[1]), "gateway")
	defer far.Close()
	errs, said, err := os.Pipe()
	if err != nil {
		near.Close()
		return nil, fmt.Errorf("cell: make a pipe: %w", err)
	}
	defer said.Close()
	program, args := p.cfg.Program, p.cfg.Args
	if program == "" {
		program, args = ownProgram, []string{worker.Command}
	}
	c := &process{
		pool: p, said: &head{whole: make(chan struct{})}, ready: make(chan struct{}), gone: make(chan struct{}),
		live: map[uint64]*Invocation{}, actors: map[uint64]*Actor{}, reads: make(chan struct{}, heavy),
	}
	c.box, err = sandbox.New(sandbox.Config{Memory: agentruntime.Limits{}.WithDefaults().Memory + hardOverhead, Refused: c.refused})
	if err != nil {
		near.Close()
		errs.Close()
		return nil, fmt.Errorf("cell: make a sandbox: %w", err)
	}
	err = c.box.Start(func(attr *syscall.SysProcAttr) (int, error) {
		c.cmd = exec.Command(program, args...)
		c.cmd.Args[0] = "gatehouse"
		c.cmd.Env, c.cmd.Dir = environment, "/"
		c.cmd.Stderr, c.cmd.ExtraFiles = said, []*os.File{far, c.box.File()}
		c.cmd.SysProcAttr = attr
		if err := c.cmd.Start(); err != nil {
			return 0, err
		}
		return c.cmd.Process.Pid, nil
	})
	if err == nil {
		c.conn, err = wire.New(near, wire.Gateway)
	}
	if err != nil {
		if c.cmd != nil && c.cmd.Process != nil {
			_ = c.cmd.Process.Kill()
			_ = c.cmd.Wait()
		}
		near.Close()
		errs.Close()
		return nil, errors.Join(fmt.Errorf("cell: start a process: %w", err), c.box.Close())
	}
	go c.said.drain(errs) // run waits for it
	return c, nil
}
