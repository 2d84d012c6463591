package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of CPU time in /proc: Linux reports it in hundredths of a second on every architecture.
const tick = 10 * time.Millisecond

// usage is what a process and all that descend from it have used.
type usage struct {
	cpu time.Duration // user and system
	rss int64         // resident memory now, in bytes
}

// process is one line of /proc/PID/stat, as far as it matters here.
type process struct {
	pid, parent int
	cpu         time.Duration // its own, and that of children it has waited for
	rss         int64
}

// treeUsage adds up a process and its living descendants.
func treeUsage(root int) (usage, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return usage{}, fmt.Errorf("list processes: %w", err)
	}
	var all []process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue // it has ended since the directory was listed
		}
		p, err := parseStat(pid, string(line))
		if err != nil {
			return usage{}, err
		}
		all = append(all, p)
	}
	return sumTree(root, all)
}

// sumTree adds up the root and whatever has it as an ancestor.
func sumTree(root int, all []process) (usage, error) {
	children := map[int][]process{}
	var sum usage
	found := false
	for _, p := range all {
		children[p.parent] = append(children[p.parent], p)
		if p.pid == root {
			found = true
			sum = usage{p.cpu, p.rss}
		}
	}
	if !found {
		return usage{}, fmt.Errorf("process %d has ended", root)
	}
	for queue := []int{root}; len(queue) > 0; queue = queue[1:] {
		for _, child := range children[queue[0]] {
			sum.cpu += child.cpu
			sum.rss += child.rss
			queue = append(queue, child.pid)
		}
	}
	return sum, nil
}

var errStat = errors.New("unknown form of /proc stat")

// parseStat reads a line of /proc/PID/stat (proc_pid_stat(5)). The second field, the command in parentheses, may hold
// anything, so the fields are counted from the last closing one.
func parseStat(pid int, line string) (process, error) {
	end := strings.LastIndexByte(line, ')')
	fields := strings.Fields(line[end+1:])
	if end < 0 || len(fields) < 22 {
		return process{}, fmt.Errorf("%w: %q", errStat, line)
	}
	// fields[0] is the state, which the manual counts as field 3.
	var values [6]int64
	for i, field := range []int{4, 14, 15, 16, 17, 24} { // parent, utime, stime, cutime, cstime, rss in pages
		var err error
		if values[i], err = strconv.ParseInt(fields[field-3], 10, 64); err != nil {
			return process{}, fmt.Errorf("%w: %q", errStat, line)
		}
	}
	return process{
		pid:    pid,
		parent: int(values[0]),
		cpu:    time.Duration(values[1]+values[2]+values[3]+values[4]) * tick,
		rss:    values[5] * int64(os.Getpagesize()),
	}, nil
}

// ownCPU returns the CPU time that the harness itself has used.
func ownCPU() (time.Duration, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0, fmt.Errorf("read the harness's CPU time: %w", err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), nil
}

// machineBusy returns the CPU time that the whole machine has spent working since it started, over all cores. Time
// stolen by the host counts as work of others, for that is how it shows.
func machineBusy() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("read the machine's CPU time: %w", err)
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	return parseBusy(line)
}

// parseBusy reads the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal, ...
func parseBusy(line string) (time.Duration, error) {
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("%w: %q", errStat, line)
	}
	var busy int64
	for i, field := range fields[1:9] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%w: %q", errStat, line)
		}
		if i != 3 && i != 4 {
			busy += n
		}
	}
	return time.Duration(busy) * tick, nil
}
