package integration

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const auditAgent = `export default { fetch: (req: Request) => new Response("answered " + new URL(req.url).pathname) };`

// TestAuditLog writes an audit log over a restart, and has the command find what was done to it.
func TestAuditLog(t *testing.T) {
	s := startServer(t, map[string]string{
		"Caddyfile": site("audit ./audit {\n\trotate 4KiB\n}\nagent hello {\n\tmain ./hello.ts\n}\n", "\twaf\n\tagent hello"),
		"hello.ts":  auditAgent,
	})
	for range 10 {
		s.get("/one", 200)
	}
	s.do("GET", "/?q="+strings.ReplaceAll(scripting, " ", "%20"), "")
	s.waitFull("the refusal", func(r fullRecord) bool { return r.RefusedBy == "waf" })
	out, _ := s.tool("audit", "verify") // beside a running server
	mustContain(t, "beside a running server", out, "audit: ", " entries in ", "signed with ")
	s.stop()
	s.start()
	s.get("/two", 200)
	s.stop()

	out, errs := s.tool("audit", "verify")
	mustContain(t, "the log", out+errs, "12 entries", "head 12:", "Nothing was changed")
	_, head, _ := strings.Cut(out, "head ")
	head, _, _ = strings.Cut(head, "\n")
	s.tool("audit", "verify", "--head", head)
	type result struct {
		Entries int64
		Fault   *struct {
			Seq, Line int64
			File      string
			What      string
		}
	}
	out, _ = s.tool("audit", "verify", "--json")
	if r := decode[result](t, out); r.Entries != 12 || r.Fault != nil {
		t.Errorf("as JSON: %s", out)
	}

	files, err := filepath.Glob(filepath.Join(s.dir, "audit", "audit-*.jsonl"))
	if err != nil || len(files) < 2 {
		t.Fatalf("the files: %v %v", files, err)
	}
	whole := read(t, files[1])
	s.write("audit/"+filepath.Base(files[1]), strings.Replace(whole, "/one", "/own", 1))
	out, errs, err = s.tryTool("audit", "verify", "--json")
	r := decode[result](t, out)
	if err == nil || r.Fault == nil || r.Fault.Line != 1 || r.Fault.File != files[1] {
		t.Errorf("a changed entry: %v %s%s", err, out, errs)
	}
	mustContain(t, "the error", errs, filepath.Base(files[1]), "line 1", "it was changed", "Keep the folder as it is")
	s.write("audit/"+filepath.Base(files[1]), whole)

	// What was cut off shows, and a server does not write on.
	last := files[len(files)-1]
	lines := bytes.SplitAfter([]byte(read(t, last)), []byte("\n"))
	s.write("audit/"+filepath.Base(last), string(bytes.Join(lines[:len(lines)-2], nil)))
	_, errs, err = s.tryTool("audit", "verify")
	if err == nil {
		t.Error("a cut tail is not found")
	}
	mustContain(t, "the error", errs, "1 entries were cut off")
	stdout, stderr, err := s.command("", "run", "--config", "Caddyfile")
	if err == nil {
		t.Error("a server goes on with a log that was cut")
	}
	mustContain(t, "its error", stdout+stderr, "missing at the end of the log", "audit verify", "Caddyfile:")
}

// TestAuditFailsClosed takes the disk of the audit log away: nothing is answered any more that the log does not tell of.
func TestAuditFailsClosed(t *testing.T) {
	s := newServer(t, map[string]string{
		"Caddyfile": site("audit ./audit {\n\tfail closed\n}\nagent hello {\n\tmain ./hello.ts\n}\n", "\tagent hello"),
		"hello.ts":  auditAgent,
	})
	disk := filepath.Join(s.dir, "audit")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); errors.Is(err, syscall.EPERM) {
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
	s.start()
	want(t, "the answer", s.get("/before", 200), "answered /before")
	// The entry is there before the answer is.
	if text := read(t, filepath.Join(disk, "audit-000000000001.jsonl")); !strings.Contains(text, `"answering":"`) || !strings.Contains(text, "/before") {
		t.Errorf("the log when the answer is there: %s", text)
	}
	fill(t, disk, 0)
	var body string
	s.wait("the first refusal", func() bool {
		resp, text := s.do("GET", "/after", "")
		body = text
		return resp.StatusCode == 503
	})
	mustContain(t, "the refusal", body, "#audit", "audit log")
	if strings.Contains(body, "answered") {
		t.Errorf("the answer went out: %s", body)
	}
	for range 3 {
		if resp, text := s.do("GET", "/later", ""); resp.StatusCode != 503 || strings.Contains(text, "answered") {
			t.Errorf("later: status %d: %s", resp.StatusCode, text)
		}
	}
	mustContain(t, "the server's log", s.logged(), "audit: ", "no space left on device")
}
