package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// group is a memory cgroup for one process, beneath the gateway's own.
type group struct {
	kind string // "cgroup2" or "cgroup1"
	dir  string
	fd   *os.File // of the directory, in version 2: the process is born in it
}

// parent is where groups are made, and the version of its hierarchy.
type parent struct {
	kind, dir string
}

var (
	findParent = sync.OnceValues(func() (parent, error) { return locate("/proc/self", os.Getpid()) })
	sequence   atomic.Int64
)

const groupPrefix = "gatehouse-"

// newGroup makes a group that holds at most memory bytes. Its error is one sentence that says why there is none.
func newGroup(memory int64) (*group, error) {
	p, err := findParent()
	if err != nil {
		return nil, err
	}
	g := &group{kind: p.kind, dir: filepath.Join(p.dir, fmt.Sprintf("%s%d-%d", groupPrefix, os.Getpid(), sequence.Add(1)))}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, fmt.Errorf("no memory cgroup can be made: %w", err)
	}
	err = g.bound(memory)
	if err == nil && g.kind == "cgroup2" {
		for file, value := range map[string]string{"memory.swap.max": "0", "memory.oom.group": "1", "pids.max": "512"} {
			if e := write(g.dir, file, value); err == nil && !errors.Is(e, os.ErrNotExist) {
				err = e
			}
		}
		if err == nil {
			g.fd, err = os.Open(g.dir)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("a memory cgroup cannot be limited: %w", err), g.remove())
	}
	return g, nil
}

// bound sets the most memory that the group may hold.
func (g *group) bound(memory int64) error {
	limit := strconv.FormatInt(memory, 10)
	if g.kind == "cgroup2" {
		return write(g.dir, "memory.max", limit)
	}
	// Swap counts as memory where it is accounted for; elsewhere the file does not exist. The limit on memory alone may never
	// be more than that on both, so a lower one is set before it and a higher one after it.
	err := write(g.dir, "memory.limit_in_bytes", limit)
	swap := write(g.dir, "memory.memsw.limit_in_bytes", limit)
	switch {
	case errors.Is(swap, os.ErrNotExist), errors.Is(swap, unix.EOPNOTSUPP):
		return err
	case swap != nil:
		return swap
	case err != nil:
		return write(g.dir, "memory.limit_in_bytes", limit)
	}
	return nil
}

// apply lets a process be born in the group, where the kernel can do that.
func (g *group) apply(attr *syscall.SysProcAttr) {
	if g.fd != nil {
		attr.UseCgroupFD, attr.CgroupFD = true, int(g.fd.Fd())
	}
}

// add moves a process into the group, if it was not born there.
func (g *group) add(pid int) error {
	if g.fd != nil {
		return nil
	}
	if err := write(g.dir, "cgroup.procs", strconv.Itoa(pid)); err != nil {
		return fmt.Errorf("bound a process's memory: %w", err)
	}
	return nil
}

// killed reports whether the kernel has killed a process of the group for want of memory.
func (g *group) killed() bool {
	file := "memory.events"
	if g.kind == "cgroup1" {
		file = "memory.oom_control"
	}
	text, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if count, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			return count != "0"
		}
	}
	return false
}

// remove removes the group. The kernel lets go of an ended process a moment after it can be waited for.
func (g *group) remove() error {
	if g.fd != nil {
		g.fd.Close()
	}
	err := os.Remove(g.dir)
	for wait := time.Millisecond; errors.Is(err, unix.EBUSY) && wait < time.Second; wait *= 2 {
		time.Sleep(wait)
		err = os.Remove(g.dir)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove a memory cgroup: %w", err)
	}
	return nil
}

// locate finds where the process self, a directory of /proc, may make memory groups: in the hierarchy of version 1 if that
// is where memory is accounted for, else in version 2. Its error is one sentence that says why there is no such place.
func locate(self string, pid int) (parent, error) {
	mounts, err := cgroupMounts(filepath.Join(self, "mountinfo"))
	if err != nil {
		return parent{}, err
	}
	paths, err := cgroupPaths(filepath.Join(self, "cgroup"))
	if err != nil {
		return parent{}, err
	}
	for _, m := range mounts {
		switch {
		case m.kind == "cgroup" && slices.Contains(m.options, "memory"):
			dir := m.resolve(paths["memory"])
			if err := unix.Access(dir, unix.W_OK); err != nil {
				return parent{}, fmt.Errorf("the memory cgroup %s is not writable: %w", dir, err)
			}
			sweep(dir)
			return parent{"cgroup1", dir}, nil
		}
	}
	for _, m := range mounts {
		if m.kind != "cgroup2" {
			continue
		}
		own := m.resolve(paths[""])
		if !slices.Contains(fields(own, "cgroup.controllers"), "memory") {
			continue
		}
		dir, err := delegated(own, pid)
		if err != nil {
			return parent{}, err
		}
		sweep(dir)
		return parent{"cgroup2", dir}, nil
	}
	return parent{}, errors.New("there is no memory cgroup controller here")
}

// delegated returns the directory of version 2 beneath which groups may be made, given the gateway's own. A group that holds
// processes cannot bound others (the "no internal processes" rule of cgroups(7)), so there are three ways:
// the gateway's group passes memory on already; or the group above it was delegated with a group of the gateway's own in it
// (systemd: Delegate=yes with DelegateSubgroup=); or the gateway is alone in a group that was delegated to it, and moves
// into one beneath.
func delegated(own string, pid int) (string, error) {
	if slices.Contains(fields(own, "cgroup.subtree_control"), "memory") && unix.Access(own, unix.W_OK) == nil {
		return own, nil
	}
	above := filepath.Dir(own)
	if isDelegated(above) && len(fields(above, "cgroup.procs")) == 0 {
		return above, enableMemory(above)
	}
	if !isDelegated(own) {
		return "", errors.New("the cgroup is not delegated to the gateway (systemd: Delegate=yes)")
	}
	if procs := fields(own, "cgroup.procs"); !slices.Equal(procs, []string{strconv.Itoa(pid)}) {
		return "", errors.New("other processes are in the gateway's cgroup (systemd: DelegateSubgroup=gateway)")
	}
	leaf := filepath.Join(own, "gateway")
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("no cgroup can be made: %w", err)
	}
	if err := write(leaf, "cgroup.procs", strconv.Itoa(pid)); err != nil {
		return "", fmt.Errorf("the gateway cannot move into a cgroup of its own: %w", err)
	}
	return own, enableMemory(own)
}

// isDelegated reports whether a manager has handed a group over: systemd marks it with an attribute, and a container's own
// root lies where the hierarchy is mounted.
func isDelegated(dir string) bool {
	if unix.Access(dir, unix.W_OK) != nil {
		return false
	}
	var mark [1]byte
	for _, name := range []string{"trusted.delegate", "user.delegate"} {
		if n, err := unix.Getxattr(dir, name, mark[:]); err == nil && n == 1 && mark[0] == '1' {
			return true
		}
	}
	var here, above unix.Stat_t
	return unix.Stat(dir, &here) == nil && unix.Stat(filepath.Dir(dir), &above) == nil && here.Dev != above.Dev
}

func enableMemory(dir string) error {
	if slices.Contains(fields(dir, "cgroup.subtree_control"), "memory") {
		return nil
	}
	if err := write(dir, "cgroup.subtree_control", "+memory"); err != nil {
		return fmt.Errorf("the cgroup does not pass memory on: %w", err)
	}
	// A bound on threads is welcome and not needed.
	_ = write(dir, "cgroup.subtree_control", "+pids")
	return nil
}

// sweep removes the groups that a gateway left behind which was killed. A group that is in use cannot be removed.
func sweep(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, groupPrefix+"*-*"))
	for _, group := range left {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(group), groupPrefix), "-")
		if id, err := strconv.Atoi(pid); err == nil && errors.Is(unix.Kill(id, 0), unix.ESRCH) {
			_ = os.Remove(group)
		}
	}
}

// cgroupMount is one line of mountinfo, proc_pid_mountinfo(5).
type cgroupMount struct {
	root, point, kind string
	options           []string
}

// resolve returns where a path of the hierarchy lies in the file system. A container may see less than the whole of it.
func (m cgroupMount) resolve(path string) string {
	if rest, ok := strings.CutPrefix(path, strings.TrimSuffix(m.root, "/")); ok && (rest == "" || rest[0] == '/') {
		return filepath.Join(m.point, rest)
	}
	return m.point
}

func cgroupMounts(file string) ([]cgroupMount, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the mounts: %w", err)
	}
	var mounts []cgroupMount
	for line := range strings.Lines(string(text)) {
		before, after, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if ok && len(left) >= 5 && len(right) >= 3 && strings.HasPrefix(right[0], "cgroup") {
			mounts = append(mounts, cgroupMount{left[3], left[4], right[0], strings.Split(right[2], ",")})
		}
	}
	return mounts, nil
}

// cgroupPaths reads the path of a process in each hierarchy, by controller; that of version 2 has an empty name.
func cgroupPaths(file string) (map[string]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the cgroups: %w", err)
	}
	defer f.Close()
	paths := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		part := strings.SplitN(lines.Text(), ":", 3)
		if len(part) == 3 {
			for name := range strings.SplitSeq(part[1], ",") {
				paths[name] = part[2]
			}
		}
	}
	return paths, lines.Err()
}

func fields(dir, file string) []string {
	text, _ := os.ReadFile(filepath.Join(dir, file))
	return strings.Fields(string(text))
}

func write(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
