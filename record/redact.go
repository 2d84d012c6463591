package record

import (
	"net/http"
	"regexp"
	"strings"
)

// redacted stands for what was struck out.
const redacted = "REDACTED"

// Redaction strikes what matches out of an entry's texts: its path, logs, exceptions, errors, and what tools were given and gave.
type Redaction []*regexp.Regexp

// Strike does so. It must come before any sink has the entry.
func (r Redaction) Strike(e *Entry) {
	if len(r) == 0 {
		return
	}
	r.text(&e.Path)
	r.text(&e.Who.UserAgent)
	for i := range e.Did.Logs {
		r.text(&e.Did.Logs[i].Message)
	}
	for i := range e.Did.Exceptions {
		x := &e.Did.Exceptions[i]
		r.text(&x.Message)
		r.text(&x.Stack)
	}
	for i := range e.Did.Calls {
		r.text(&e.Did.Calls[i].Error)
	}
	for i := range e.Did.Tools {
		t := &e.Did.Tools[i]
		r.text(&t.Arguments)
		r.text(&t.Result)
		r.text(&t.Error)
	}
	for _, values := range e.Header {
		for i := range values {
			r.text(&values[i])
		}
	}
}

func (r Redaction) text(s *string) {
	for _, p := range r {
		if p.MatchString(*s) {
			*s = p.ReplaceAllLiteralString(*s, redacted)
		}
	}
}

// sensitive are parts of the names of headers whose values are no one's affair, as Cloudflare chooses them
// (https://developers.cloudflare.com/workers/runtime-apis/handlers/tail/#tailrequest).
var sensitive = []string{"auth", "key", "secret", "token", "cookie", "jwt", "password", "signature"}

// SafeHeader is a copy of a request's header in which the values of sensitive names are struck out.
func SafeHeader(h http.Header) http.Header {
	safe := make(http.Header, len(h))
	texts := make([]string, 0, len(h))
	for name, values := range h {
		at := len(texts)
		lower := strings.ToLower(name)
		hide := false
		for _, s := range sensitive {
			hide = hide || strings.Contains(lower, s)
		}
		if hide {
			texts = append(texts, redacted)
		} else {
			texts = append(texts, values...)
		}
		safe[name] = texts[at:len(texts):len(texts)]
	}
	return safe
}
