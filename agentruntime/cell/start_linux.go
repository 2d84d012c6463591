package cell

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/wire"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/worker"
)

// starter starts processes from one thread that lives as long as it does: a cell is killed when the thread that started
// it ends, so that no cell outlives the gateway, however that ends.
type starter struct{ jobs chan func() }

func newStarter() *starter {
	s := &starter{jobs: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

func (s *starter) close() { close(s.jobs) }

func (s *starter) start(cmd *exec.Cmd) error {
	started := make(chan error)
	s.jobs <- func() { started <- cmd.Start() }
	return <-started
}

// launch starts a process that has nothing but its socket: no environment, no descriptors, no standard input or output.
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
		// The file that runs now, even if another one has taken its place.
		program, args = "/proc/self/exe", []string{worker.Command}
	}
	cmd := exec.Command(program, args...)
	cmd.Args[0] = "gatehouse"
	cmd.Env, cmd.Dir = []string{}, "/"
	cmd.Stderr, cmd.ExtraFiles = said, []*os.File{far}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := p.starter.start(cmd); err != nil {
		near.Close()
		errs.Close()
		return nil, fmt.Errorf("cell: start a process: %w", err)
	}
	conn, err := wire.New(near, wire.Gateway)
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		near.Close()
		errs.Close()
		return nil, err
	}
	c := &process{
		pool: p, cmd: cmd, conn: conn, said: &head{whole: make(chan struct{})}, ready: make(chan struct{}), gone: make(chan struct{}),
		live: map[uint64]*Invocation{}, actors: map[uint64]*Actor{},
	}
	p.work.Go(func() { c.said.drain(errs) })
	return c, nil
}
