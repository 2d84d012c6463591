package egress

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// pathPattern is an exact path or, when prefix is set, the beginning of one.
type pathPattern struct {
	text   string
	prefix bool
}

// parsePath reads a pattern: a decoded path that begins with a slash, where a
// single star at the end stands for any rest. "/v1/*" covers "/v1/" and all
// below it, and not "/v1".
func parsePath(s string) (pathPattern, error) {
	p := pathPattern{text: s}
	if rest, ok := strings.CutSuffix(s, "*"); ok {
		p = pathPattern{text: rest, prefix: true}
	}
	switch {
	case !strings.HasPrefix(p.text, "/"):
		return p, fmt.Errorf("path %q does not begin with a slash", s)
	case strings.Contains(p.text, "*"):
		return p, fmt.Errorf("path %q has a star before its end", s)
	case hasDotSegment(p.text), strings.ContainsAny(p.text, `\?#%`), hasControl(p.text):
		return p, fmt.Errorf("path %q is not a plain decoded path", s)
	}
	return p, nil
}

func (p pathPattern) match(decoded string) bool {
	if p.prefix {
		return strings.HasPrefix(decoded, p.text)
	}
	return decoded == p.text
}

// plainPath decodes an escaped path for matching. It refuses a path that a
// server might read in another way than we do: one that gains a slash, a
// backslash, a dot segment or a control character when it is decoded, once or
// repeatedly, or that is not UTF-8.
func plainPath(escaped string) (string, error) {
	decoded, err := url.PathUnescape(escaped)
	if err != nil {
		return "", errors.New("the path's percent-encoding is not valid")
	}
	slashes := strings.Count(escaped, "/")
	for layer, depth := decoded, 0; ; depth++ {
		switch {
		case strings.Count(layer, "/") != slashes:
			return "", errors.New("the path has an encoded slash")
		case strings.Contains(layer, `\`):
			return "", errors.New("the path has a backslash")
		case hasDotSegment(layer):
			return "", errors.New("the path has an encoded dot segment")
		case hasControl(layer) || !utf8.ValidString(layer):
			return "", errors.New("the path has a control character or is not UTF-8")
		}
		next, err := url.PathUnescape(layer)
		if err != nil || next == layer {
			return decoded, nil
		}
		if depth == 3 {
			return "", errors.New("the path is encoded too many times")
		}
		layer = next
	}
}

// hasDotSegment tells whether a segment is "." or "..", also with parameters
// after a semicolon, which some servers cut off before they resolve dots.
func hasDotSegment(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		name, _, _ := strings.Cut(segment, ";")
		if name == "." || name == ".." {
			return true
		}
	}
	return false
}

// removeDotSegments resolves "." and ".." in an escaped path as RFC 3986,
// section 5.2.4 does, and makes it begin with a slash.
func removeDotSegments(escaped string) string {
	segments := strings.Split(strings.TrimPrefix(escaped, "/"), "/")
	kept := make([]string, 0, len(segments))
	for i, segment := range segments {
		last := i == len(segments)-1
		switch segment {
		case ".":
		case "..":
			if len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
		default:
			kept = append(kept, segment)
			continue
		}
		if last {
			kept = append(kept, "")
		}
	}
	return "/" + strings.Join(kept, "/")
}
