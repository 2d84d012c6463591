package agentruntime

import (
	"net/http"
	"strings"

	"github.com/dop251/goja"
)

// fetchData answers a fetch of a data: address (https://fetch.spec.whatwg.org/#data-url-processor), which holds its answer
// itself: nothing leaves the runtime.
func (r *realm) fetchData(req *Request) goja.Value {
	contentType, data, ok := parseDataURL(req.URL)
	if req.Body != nil {
		_ = req.Body.Close()
	}
	if !ok {
		return r.rejected(r.typeError("Fetch API cannot load a data: URL that has no comma, or whose base64 is broken."))
	}
	p := &response{status: 200, statusText: "OK", url: req.URL, kind: "basic", content: body{kind: bodyData, data: data},
		header: headers{fields: http.Header{"Content-Type": {contentType}}, immutable: true}}
	if req.Method == "HEAD" {
		p.content = body{}
	}
	return r.resolved(r.instance("Response", p))
}

// isDataURL reports whether a normalised address is a data: URL.
func isDataURL(address string) bool { return strings.HasPrefix(address, "data:") }

// parseDataURL splits a normalised data: URL into its type and its content.
func parseDataURL(address string) (contentType string, data []byte, ok bool) {
	address, _, _ = strings.Cut(address, "#")
	contentType, content, ok := strings.Cut(strings.TrimPrefix(address, "data:"), ",")
	if !ok {
		return "", nil, false
	}
	data = []byte(percentDecode(content))
	contentType = strings.Trim(contentType, " ")
	if head, last, found := cutLast(contentType, ";"); found && strings.EqualFold(strings.TrimLeft(last, " "), "base64") {
		if data, ok = forgivingBase64(string(data)); !ok {
			return "", nil, false
		}
		contentType = head
	}
	if strings.HasPrefix(contentType, ";") {
		contentType = "text/plain" + contentType
	}
	m, ok := parseMIME(contentType)
	if !ok {
		return "text/plain;charset=US-ASCII", data, true
	}
	return m.String(), data, true
}
