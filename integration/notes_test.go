package integration

import (
	"fmt"
	"path/filepath"
	"testing"
)

// TestNotes runs the example whose actors keep notes in SQL, over a kill.
func TestNotes(t *testing.T) {
	t.Parallel()
	main, err := filepath.Abs("../examples/notes/agent.ts")
	if err != nil {
		t.Fatal(err)
	}
	s := startServer(t, map[string]string{"Caddyfile": site(fmt.Sprintf("agent notes {\n main %s\n durable NOTES Notes\n}", main), "agent notes")})
	post := func(path, text, answer string) {
		t.Helper()
		_, body := s.do("POST", path, text)
		want(t, "the answer to "+text, body, answer)
	}
	post("/", "The gates are shut at ten.", "note 1\n")
	post("/", "The bread is in the oven.", "note 2\n")
	post("/?book=other", "A gate of another book.", "note 1\n")
	s.kill()
	s.start()
	want(t, "a search", s.get("/?q=shutting+gate", 200), "The gates are shut at ten.\n")
	want(t, "a search for what is not there", s.get("/?q=portcullis", 200), "")
	want(t, "a search for no word", s.get("/?q=%22%2A", 200), "")
	want(t, "the newest", s.get("/", 200), "The bread is in the oven.\nThe gates are shut at ten.\n")
	want(t, "another book", s.get("/?book=other&q=gates", 200), "A gate of another book.\n")
}
