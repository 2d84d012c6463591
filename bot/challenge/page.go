package challenge

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"html/template"
)

//go:embed page.html
var pageText string

//go:embed page.js
var pageScript string

var page = template.Must(template.New("page").Parse(pageText))

// Page is the document that solves a puzzle for a client that wanted a path and query of this site, and the content security policy that it
// needs. It loads nothing. Its form goes to action.
func (c *Challenger) Page(client Client, back, action, id string) (document []byte, policy string, err error) {
	p, text := c.issue(client, back)
	var random [16]byte
	_, _ = rand.Read(random[:]) // it does not fail
	nonce := base64.RawURLEncoding.EncodeToString(random[:])
	var b bytes.Buffer
	err = page.Execute(&b, map[string]any{
		"Puzzle": text, "Difficulty": p.Difficulty, "Action": action, "ID": id, "Nonce": nonce, "Script": template.JS(pageScript),
		"A": words[p.A], "B": words[p.B], "Question": !c.config.NoQuestion,
	})
	policy = "default-src 'none'; script-src 'nonce-" + nonce + "'; style-src 'nonce-" + nonce + "'; worker-src blob:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	return b.Bytes(), policy, err
}

// words are the question's numbers.
var words = []string{"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}
