package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// onDisk makes a server of cells whose store lies on a file system of its own, of that size. Only root may mount one: for
// others the test is left out, and says so.
func onDisk(t *testing.T, size string) (s *server, disk string) {
	t.Helper()
	s = newServer(t, map[string]string{
		"Caddyfile": site(cellGlobal(""), "\tagent cells"),
		"cell.ts":   agentFile(t, "cell.ts"),
	})
	disk = filepath.Join(s.dir, "data")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size="+size); errors.Is(err, syscall.EPERM) {
		t.Skipf("mounting a file system to fill up needs root: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.stop()
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Errorf("unmount %s: %v", disk, err)
		}
	})
	return s, disk
}

// fill leaves free only so many bytes of a disk.
func fill(t *testing.T, disk string, leave int64) (ballast string) {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(disk, &st); err != nil {
		t.Fatal(err)
	}
	ballast = filepath.Join(disk, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zeros := make([]byte, 1<<20)
	for left := int64(st.Bavail)*st.Bsize - leave; left > 0; left -= int64(len(zeros)) {
		if _, err := f.Write(zeros[:min(int64(len(zeros)), left)]); err != nil {
			t.Fatal(err)
		}
	}
	return ballast
}

// TestFullDisk fills the disk to its last bytes under a server that runs: what writes is told so, what reads goes on, and
// everything goes on once there is room. Nothing that was acknowledged is lost.
func TestFullDisk(t *testing.T) {
	s, disk := onDisk(t, "600m")
	s.start()
	for i := range 10 {
		ask[any](s, fmt.Sprint("cell-", i), "put", map[string]any{"k": i})
	}
	ballast := fill(t, disk, 64<<10)
	// What the store knows of the disk may be a moment old.
	s.wait("a refusal", func() bool {
		return s.call(nil, "cell-0", "put", map[string]any{"late": strings.Repeat("x", 1000)}) != nil
	})
	for i := range 10 {
		if err := s.call(nil, fmt.Sprint("cell-", i), "put", map[string]any{"k": "never"}); err == nil {
			t.Errorf("cell %d has written to a full disk", i)
		}
	}
	s.waitRecord("the error in a record", func(r loggedRecord) bool {
		for _, x := range r.Exceptions {
			if strings.Contains(x.Message, "the disk is full") && strings.Contains(x.Message, "free some space") {
				return true
			}
		}
		return strings.Contains(s.logged(), "the disk is full")
	})
	for i := range 10 {
		// The constructor of cell.ts writes, so an actor that was reset cannot come back; what is in memory reads on.
		if v, err := getNumber(s, fmt.Sprint("cell-", i)); err == nil && v != i {
			t.Errorf("cell %d reads %d", i, v)
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.wait("writes to go on", func() bool { return s.call(nil, "cell-0", "put", map[string]any{"after": 1}) == nil })
	for i := range 10 {
		if v := ask[int](s, fmt.Sprint("cell-", i), "get", "k"); v != i {
			t.Errorf("after the disk was full cell %d reads %d", i, v)
		}
	}
	s.kill()

	// With a full disk the server does not start, and says why.
	ballast = fill(t, disk, 64<<10)
	out, errs, err := s.command("", "run", "--config", "Caddyfile", "--adapter", "caddyfile")
	if err == nil {
		t.Error("the server started on a full disk")
	}
	mustContain(t, "the refusal to start", out+errs, "the disk is full", disk, "free some space")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.start()
	for i := range 10 {
		if v := ask[int](s, fmt.Sprint("cell-", i), "get", "k"); v != i {
			t.Errorf("after a start cell %d reads %d", i, v)
		}
	}
}

func getNumber(s *server, name string) (v int, err error) {
	err = s.call(&v, name, "get", "k")
	return v, err
}

// TestReadOnlyDisk starts a server whose disk cannot be written to: it does not start, and says why; it does once it can be.
func TestReadOnlyDisk(t *testing.T) {
	s, disk := onDisk(t, "600m")
	s.start()
	ask[any](s, "a", "put", map[string]any{"k": 7})
	s.stop()
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(syscall.MS_RDONLY)
	out, errs, err := s.command("", "run", "--config", "Caddyfile", "--adapter", "caddyfile")
	if err == nil {
		t.Error("the server started")
	}
	mustContain(t, "the refusal to start", out+errs, "read-only file system", filepath.Join(disk, "store"))
	remount(0)
	s.start()
	if v := ask[int](s, "a", "get", "k"); v != 7 {
		t.Errorf("afterwards the actor reads %d", v)
	}
}

// TestNoFailpoints looks whether the points at which tests kill a process are left out of the server.
func TestNoFailpoints(t *testing.T) {
	b, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("../durable/badgerstore/failpoint_on.go")
	if err != nil {
		t.Fatal(err)
	}
	const variable = "GATEHOUSE_FAILPOINT"
	if !strings.Contains(string(source), variable) {
		t.Fatal("the failpoints have another variable: the test cannot fail")
	}
	if strings.Contains(string(b), variable) {
		t.Error("the server has failpoints in it")
	}
}
