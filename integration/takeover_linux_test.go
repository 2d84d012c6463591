package integration

import (
	"encoding/base64"
	bits "encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/wire"
)

// takeoverOrder is what the cell of the test build is told to do. See agentruntime/cell/worker/takeover.go.
type takeoverOrder struct {
	Call   *uintptr `json:"call,omitempty"`
	Args   []any    `json:"args,omitempty"`
	Ask    *byte    `json:"ask,omitempty"`
	Fields []any    `json:"fields,omitempty"`
}

type takeoverAnswer struct {
	Result uintptr `json:"result"`
	Errno  string  `json:"errno"`
	Answer []byte  `json:"answer"`
	Error  string  `json:"error"`
}

func systemCall(number uintptr, args ...any) takeoverOrder {
	return takeoverOrder{Call: &number, Args: args}
}
func askGateway(op byte, fields ...any) takeoverOrder { return takeoverOrder{Ask: &op, Fields: fields} }

// memory is bytes whose address is passed to a call.
func memory(b []byte) map[string]any {
	return map[string]any{"bytes": base64.StdEncoding.EncodeToString(b)}
}

const (
	victimSecret = "sk-of-the-victim-0123456789"
	ownSecret    = "sk-of-the-attacker-9876543210"
)

// TestTakenOverCell is about a cell whose code has broken out of the engine and makes system calls and speaks to the gateway as
// it likes. It can open no file, connect to nothing, read no other agent's storage or secrets, and forge no record; and each
// attempt is in the log.
func TestTakenOverCell(t *testing.T) {
	program := filepath.Join(t.TempDir(), "caddy")
	build := exec.Command("go", "build", "-tags", "nobadger,nomysql,nopgx,takeover", "-o", program, "../cmd/caddy")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the server: %v\n%s", err, out)
	}
	s := newServer(t, map[string]string{
		"Caddyfile": site("keyring file ./keys/keyring.json\nagent taken {\n main ./takeover.ts\n secret MINE mine\n kv NOTES own\n limits {\n cpu 10s\n }\n}\n"+
			"agent victim {\n main ./victim.ts\n secret SECRET theirs\n kv STORE theirs\n durable COUNTER Counter\n}\n",
			"handle /victim {\n agent victim\n}\nhandle {\n agent taken\n}"),
		"takeover.ts": agentFile(t, "takeover.ts"),
		"victim.ts":   agentFile(t, "attack_counter.ts"),
		"outside.txt": "a file of the gateway's",
	})
	s.program = program
	s.must(victimSecret, "gatehouse", "secret", "put", "theirs")
	s.must(ownSecret, "gatehouse", "secret", "put", "mine")
	s.start()
	s.get("/victim", 200)
	s.get("/fine", 200)
	out := newOutside(t, nil)
	gateway := s.cmd.Process.Pid
	address := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: [4]byte{127, 0, 0, 1}}
	inet := make([]byte, unix.SizeofSockaddrInet4)
	bits.NativeEndian.PutUint16(inet, address.Family)
	bits.BigEndian.PutUint16(inet[2:], uint16(out.port()))
	copy(inet[4:], address.Addr[:])

	at := -100 // AT_FDCWD
	attempts := []struct {
		name, call string
		order      takeoverOrder
	}{
		{"open a file", "openat", systemCall(unix.SYS_OPENAT, at, "/etc/passwd", 0)},
		{"open a file of the gateway", "openat", systemCall(unix.SYS_OPENAT, at, filepath.Join(s.dir, "outside.txt"), 0)},
		{"create a file", "openat", systemCall(unix.SYS_OPENAT, at, filepath.Join(s.dir, "made"), unix.O_CREAT|unix.O_WRONLY, 0o600)},
		{"list the store", "openat", systemCall(unix.SYS_OPENAT, at, filepath.Join(s.dir, "data"), unix.O_DIRECTORY)},
		{"read the gateway's environment", "openat", systemCall(unix.SYS_OPENAT, at, fmt.Sprintf("/proc/%d/environ", gateway), 0)},
		{"make a socket", "socket", systemCall(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 0)},
		{"connect", "connect", systemCall(unix.SYS_CONNECT, 3, memory(inet), len(inet))},
		{"start a program", "execve", systemCall(unix.SYS_EXECVE, "/bin/true", 0, 0)},
		{"make a process", "clone", systemCall(unix.SYS_CLONE, int(unix.SIGCHLD), 0, 0, 0, 0)},
		{"trace the gateway", "ptrace", systemCall(unix.SYS_PTRACE, unix.PTRACE_ATTACH, gateway, 0, 0)},
		{"read the gateway's memory", "process_vm_readv", systemCall(unix.SYS_PROCESS_VM_READV, gateway, 0, 0, 0, 0, 0)},
		{"end the gateway", "kill", systemCall(unix.SYS_KILL, gateway, int(unix.SIGKILL))},
		{"mount", "mount", systemCall(unix.SYS_MOUNT, "none", "/", "tmpfs", 0, 0)},
		{"make a program in memory", "memfd_create", systemCall(unix.SYS_MEMFD_CREATE, "x", 0)},
		{"make memory executable", "mmap", systemCall(unix.SYS_MMAP, 0, 4096, unix.PROT_EXEC|unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON, -1, 0)},
		{"use io_uring", "io_uring_setup", systemCall(unix.SYS_IO_URING_SETUP, 1, memory(make([]byte, 120)))},
		{"load a BPF program", "bpf", systemCall(unix.SYS_BPF, 5, memory(make([]byte, 128)), 128)},
		{"become root", "setresuid", systemCall(unix.SYS_SETRESUID, 0, 0, 0)},
		{"send a descriptor", "sendmsg", systemCall(unix.SYS_SENDMSG, 3, memory(make([]byte, unix.SizeofMsghdr)), 0)},
		{"receive a descriptor", "recvmsg", systemCall(unix.SYS_RECVMSG, 3, memory(make([]byte, unix.SizeofMsghdr)), 0)},
	}
	var orders []takeoverOrder
	for _, a := range attempts {
		orders = append(orders, a.order)
	}
	for i, answer := range s.takeover(orders...) {
		if answer.Errno != unix.EPERM.Error() {
			t.Errorf("%s: %+v", attempts[i].name, answer)
		}
		want := fmt.Sprintf(`"msg":"a cell was refused a system call","agent":"taken","call":%q`, attempts[i].call)
		s.wait(attempts[i].name+" in the log", func() bool { return strings.Contains(s.logged(), want) })
	}
	if n := out.accepted.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "made")); err == nil {
		t.Error("a file was made")
	}

	// The gateway is asked in the name of the invocation that runs. The gateway's exchanges have odd numbers: the loading of the
	// code, /fine, the orders above, and then the next request.
	const self = 7
	mine := func(op byte, fields ...any) takeoverOrder {
		return askGateway(op, append([]any{uint64(self), 0}, fields...)...)
	}
	for i, answer := range s.takeover(
		mine(wire.OpHostSecret, "MINE"),
		mine(wire.OpHostSecret, "SECRET"),
		mine(wire.OpHostSecret, "theirs"),
		mine(wire.OpHostKV, "STORE", 1, "key", 0, 0, false, false, "", "", "", 0),
		mine(wire.OpHostKV, "theirs", 1, "key", 0, 0, false, false, "", "", "", 0),
		mine(wire.OpHostLimit, "LIMIT", "key"),
		askGateway(wire.OpGet, uint64(self), 1, "n"),
		askGateway(wire.OpGet, 1, 1, "n"),
		mine(wire.OpHostActors, "COUNTER", "", 10),
		mine(wire.OpHostActors, "victim/Counter", "", 10),
		askGateway(wire.OpSocketAccept, uint64(self), 0, 0),
		askGateway(wire.OpSocketList, uint64(self), false),
		askGateway(wire.OpSocketLook, 1, 1),
	) {
		text := string(answer.Answer)
		if i == 0 {
			if !strings.Contains(text, ownSecret) {
				t.Errorf("the cell's own secret: %+v", answer)
			}
			continue
		}
		if len(text) == 0 || text[0] != 1 || strings.Contains(text, victimSecret) { // an error is what was answered
			t.Errorf("request %d was not refused: %q %s", i, text, answer.Error)
		}
	}
	for _, asked := range []string{"secret SECRET", "secret theirs", "kv STORE", "kv theirs", "ratelimit LIMIT", "the storage of an actor", "durable COUNTER", "durable victim/Counter"} {
		want := `"msg":"a cell asked for what its agent does not have","agent":"taken","asked":"` + asked
		s.wait(asked+" in the log", func() bool { return strings.Contains(s.logged(), want) })
	}

	// Numbers that were never given out, and frames that nobody expects, end the cell.
	note := func(id uint64) []byte {
		payload := append([]byte{wire.NoteEvent, 1, 0, 4}, "infoAforged"...)
		payload[8] = 6 // the length of the message
		frame := bits.LittleEndian.AppendUint32(nil, uint32(len(payload)))
		frame = append(frame, 3) // a note
		return append(bits.LittleEndian.AppendUint64(frame, id), payload...)
	}
	for name, order := range map[string]takeoverOrder{
		"an invocation that never was":           askGateway(wire.OpHostSecret, 99_999, 0, "SECRET"),
		"an actor that never was":                askGateway(wire.OpGet, 99_999, 1, "n"),
		"the sockets of an actor that never was": askGateway(wire.OpSocketList, 99_999, false),
		"an operation that is not one":           askGateway(120),
		"a log line for another's invocation":    systemCall(unix.SYS_WRITE, 3, memory(note(99_999)), len(note(1))),
	} {
		broken := strings.Count(s.logged(), "it broke the protocol")
		body, err := json.Marshal([]takeoverOrder{order})
		if err != nil {
			t.Fatal(err)
		}
		if resp, text := s.do("POST", "/", string(body)); resp.StatusCode == 200 && !strings.Contains(text, `"result"`) {
			t.Errorf("%s: %s", name, text)
		}
		s.wait("the end of the cell after "+name, func() bool { return strings.Count(s.logged(), "it broke the protocol") > broken })
		s.get("/fine", 200)
	}
	s.get("/victim", 200)
	for _, r := range s.records() {
		if r.Agent == "victim" && len(r.Logs)+len(r.Exceptions) > 0 {
			t.Errorf("a record of the victim's was written into: %+v", r)
		}
	}
	if strings.Contains(s.logged(), victimSecret) {
		t.Error("the victim's secret is in the log")
	}
}

// takeover has the taken-over cell do as it is told.
func (s *server) takeover(orders ...takeoverOrder) []takeoverAnswer {
	s.t.Helper()
	body, err := json.Marshal(orders)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, text := s.do("POST", "/", string(body))
	if resp.StatusCode != 200 {
		s.t.Fatalf("status %d: %s", resp.StatusCode, text)
	}
	answers := decode[[]takeoverAnswer](s.t, text)
	if len(answers) != len(orders) {
		s.t.Fatalf("%d answers to %d orders", len(answers), len(orders))
	}
	return answers
}
