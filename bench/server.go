package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 15 * time.Second
)

// server is a process that the benchmark started and that it alone ends.
type server struct {
	name  string
	addr  string
	log   string // the file its output goes to
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has been waited for
}

// startServer starts a side and waits until its address takes connections.
func startServer(ctx context.Context, name, addr, log string, c command) (*server, error) {
	output, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("make the log of %s: %w", name, err)
	}
	defer output.Close() // the process keeps its own
	cmd := exec.Command(c.path, c.args...)
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), c.env...)
	cmd.Stdout, cmd.Stderr = output, output
	// A group of its own keeps the terminal's Ctrl-C from it, so that it is stopped in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	s := &server{name: name, addr: addr, log: log, cmd: cmd, ended: make(chan struct{})}
	go func() {
		cmd.Wait() // how it ended does not matter: its being gone does
		close(s.ended)
	}()
	if err := s.awaitConnections(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// awaitConnections waits until the server accepts, ends, or takes too long.
func (s *server) awaitConnections(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.addr)
		if err == nil {
			conn.Close()
			return nil
		}
		select {
		case <-s.ended:
			return s.failure("ended before it took connections")
		case <-ctx.Done():
			return s.failure("takes no connections: " + ctx.Err().Error())
		case <-again.C:
		}
	}
}

// failure makes an error that ends with the last lines of the server's log.
func (s *server) failure(what string) error {
	log, err := os.ReadFile(s.log)
	if err != nil {
		return fmt.Errorf("%s %s, and its log cannot be read: %w", s.name, what, err)
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	return fmt.Errorf("%s %s; it said last:\n  %s", s.name, what, strings.Join(lines[max(0, len(lines)-8):], "\n  "))
}

// usage returns what the server has used so far.
func (s *server) usage() (usage, error) {
	u, err := treeUsage(s.cmd.Process.Pid)
	if err != nil {
		return u, errors.Join(s.failure("cannot be measured"), err)
	}
	return u, nil
}

// stop asks the server to end and makes it when it does not.
func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(stopTimeout):
		s.cmd.Process.Kill()
		<-s.ended
	}
}

// freeAddr returns an address of this machine that nothing listens on at the moment.
func freeAddr() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

func port(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// dataDir makes an empty directory in the scratch directory.
func (b *bench) dataDir(name string) (string, error) {
	dir := filepath.Join(b.scratch, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make a directory for %s: %w", name, err)
	}
	return dir, nil
}
