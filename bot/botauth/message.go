package botauth

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"

	"github.com/dunglas/httpsfv"
)

// message is what a signature may cover of a request, or of a response and the request that it answers (RFC 9421, section 2).
type message struct {
	header    http.Header
	method    string
	scheme    string
	authority string // as sent
	target    string // the request target, as sent
	status    int    // of a response, 0 for a request
	request   *message
}

func requestMessage(r *http.Request) *message {
	m := &message{header: r.Header, method: r.Method, scheme: "http", authority: r.Host, target: r.RequestURI}
	if r.TLS != nil {
		m.scheme = "https"
	}
	if m.target == "" {
		m.target = r.URL.RequestURI()
	}
	return m
}

// base is what is signed: a line for each component, and one for the parameters (RFC 9421, section 2.5).
func (m *message) base(input httpsfv.InnerList) (string, error) {
	var b strings.Builder
	seen := make(map[string]bool, len(input.Items))
	for _, item := range input.Items {
		id, err := httpsfv.Marshal(item)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if seen[id] {
			return "", fmt.Errorf("%w: %s is there twice", ErrMalformed, id)
		}
		seen[id] = true
		value, err := m.component(item)
		if err != nil {
			return "", fmt.Errorf("%w: %s: %w", ErrComponents, id, err)
		}
		if strings.ContainsAny(value, "\r\n") {
			return "", fmt.Errorf("%w: %s has a line break", ErrComponents, id)
		}
		b.WriteString(id + ": " + value + "\n")
	}
	params, err := httpsfv.Marshal(input)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	b.WriteString(`"@signature-params": ` + params)
	return b.String(), nil
}

// component is the value of a component. Parameters that are not known here are refused: they would change its meaning.
func (m *message) component(item httpsfv.Item) (string, error) {
	name, ok := item.Value.(string)
	if !ok || name != strings.ToLower(name) {
		return "", fmt.Errorf("its name is no text in lower case")
	}
	for _, p := range item.Params.Names() {
		if p == "req" {
			if m.request == nil {
				return "", fmt.Errorf("req belongs to responses")
			}
			m = m.request
			continue
		}
		derived := strings.HasPrefix(name, "@")
		if !(p == "name" && name == "@query-param" || (p == "key" || p == "bs") && !derived) {
			return "", fmt.Errorf("the parameter %s is not taken", p)
		}
	}
	if strings.HasPrefix(name, "@") {
		return m.derived(name, item.Params)
	}
	return m.field(name, item.Params)
}

// field is the value of a header field (RFC 9421, section 2.1).
func (m *message) field(name string, params *httpsfv.Params) (string, error) {
	values := m.header.Values(name)
	if name == "host" && m.status == 0 {
		values = []string{m.authority}
	}
	if len(values) == 0 {
		return "", fmt.Errorf("there is no such field")
	}
	trimmed := make([]string, len(values))
	_, wrapped := params.Get("bs")
	for i, v := range values {
		if trimmed[i] = textproto.TrimString(v); wrapped {
			trimmed[i] = ":" + base64.StdEncoding.EncodeToString([]byte(trimmed[i])) + ":"
		}
	}
	key, keyed := params.Get("key")
	if !keyed {
		return strings.Join(trimmed, ", "), nil
	}
	if wrapped {
		return "", fmt.Errorf("bs and key exclude each other")
	}
	dictionary, err := httpsfv.UnmarshalDictionary(values)
	if err != nil {
		return "", fmt.Errorf("the field is no dictionary")
	}
	k, _ := key.(string)
	member, ok := dictionary.Get(k)
	if !ok {
		return "", fmt.Errorf("the field has no such key")
	}
	return httpsfv.Marshal(member.(httpsfv.StructuredFieldValue))
}

// derived is the value of what is no field (RFC 9421, section 2.2).
func (m *message) derived(name string, params *httpsfv.Params) (string, error) {
	if name == "@status" {
		if m.status == 0 {
			return "", fmt.Errorf("a request has none")
		}
		return strconv.Itoa(m.status), nil
	}
	if m.status != 0 {
		return "", fmt.Errorf("a response has none")
	}
	path, query, _ := strings.Cut(m.target, "?")
	if u, err := url.Parse(m.target); err == nil && u.Host != "" { // the absolute form
		path = u.EscapedPath()
	}
	if path == "" {
		path = "/"
	}
	switch name {
	case "@method":
		return m.method, nil
	case "@scheme":
		return m.scheme, nil
	case "@authority":
		return m.normalAuthority(), nil
	case "@path":
		return path, nil
	case "@query":
		return "?" + query, nil
	case "@request-target":
		return m.target, nil
	case "@target-uri":
		uri := m.scheme + "://" + m.normalAuthority() + path
		if strings.Contains(m.target, "?") {
			uri += "?" + query
		}
		return uri, nil
	case "@query-param":
		key, _ := params.Get("name")
		return queryParam(query, key)
	}
	return "", fmt.Errorf("no such component is known")
}

// queryParam is the one value of a query parameter, encoded anew (RFC 9421, section 2.2.8).
func queryParam(query string, name any) (string, error) {
	text, ok := name.(string)
	if !ok {
		return "", fmt.Errorf("it needs the parameter name")
	}
	decoded, err := url.QueryUnescape(text)
	if err != nil {
		return "", err
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", err
	}
	if len(values[decoded]) != 1 {
		return "", fmt.Errorf("the query has it %d times, not once", len(values[decoded]))
	}
	return strings.ReplaceAll(url.QueryEscape(values[decoded][0]), "+", "%20"), nil
}

// normalAuthority is the authority in lower case, without the scheme's own port (RFC 9421, section 2.2.3).
func (m *message) normalAuthority() string {
	a := strings.ToLower(m.authority)
	port := ":80"
	if m.scheme == "https" {
		port = ":443"
	}
	return strings.TrimSuffix(a, port)
}
