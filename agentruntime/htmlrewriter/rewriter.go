package htmlrewriter

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// MaxToken is the most bytes that one token of a document may have: a tag, a comment or a text without a tag in between.
const MaxToken = 16 << 20

// Handlers are called for what a selector matches: its elements, and the texts and comments in them at any depth. Each may
// be nil. An error ends the rewriting.
type Handlers struct {
	Element  func(*Element) error
	Comments func(*Comment) error
	Text     func(*Text) error
}

// DocumentHandlers are called for the whole document.
type DocumentHandlers struct {
	Doctype  func(*Doctype) error
	Comments func(*Comment) error
	Text     func(*Text) error
	End      func(*End) error
}

// Rewriter holds handlers. It does not change while it rewrites, and may then be used by several goroutines.
type Rewriter struct {
	rules    []rule
	document []DocumentHandlers
}

type rule struct {
	selector Selector
	Handlers
}

// On adds handlers for what the selector matches.
func (rw *Rewriter) On(s Selector, h Handlers) { rw.rules = append(rw.rules, rule{s, h}) }

// OnDocument adds handlers for the whole document.
func (rw *Rewriter) OnDocument(h DocumentHandlers) { rw.document = append(rw.document, h) }

// node is an element that is open, and what selectors ask of it.
type node struct {
	name      string // lower case
	namespace string
	attrs     []attr
	index     int // among the elements of its parent, from 1
	typeIndex int // among those of its name
	empty     bool
	children  int
	types     map[string]int
	matched   []*rule // those that want its texts and comments

	hidden  bool // its content does not leave
	bare    bool // its tags do not leave
	renamed string
	append_ []Content
	after   []Content
	onEnd   []func(*EndTag) error
}

func (n *node) attribute(name string) (string, bool) {
	for i := range n.attrs {
		if n.attrs[i].name == name {
			return n.attrs[i].value, true
		}
	}
	return "", false
}

func (n *node) count(name string) (index, typeIndex int) {
	if n.types == nil {
		n.types = map[string]int{}
	}
	n.children++
	n.types[name]++
	return n.children, n.types[name]
}

const (
	namespaceHTML   = "http://www.w3.org/1999/xhtml"
	namespaceSVG    = "http://www.w3.org/2000/svg"
	namespaceMathML = "http://www.w3.org/1998/Math/MathML"
)

// void are the elements without content (https://html.spec.whatwg.org/multipage/syntax.html#void-elements).
var void = map[string]bool{
	"area": true, "base": true, "basefont": true, "bgsound": true, "br": true, "col": true, "embed": true, "frame": true, "hr": true,
	"img": true, "input": true, "keygen": true, "link": true, "meta": true, "param": true, "source": true, "track": true, "wbr": true,
}

// run is one document being rewritten.
type run struct {
	*Rewriter
	out    io.Writer
	hidden int // open elements whose content does not leave
	root   node
	stack  []*node
}

// Rewrite copies a document in UTF-8 from src to dst with the changes that the handlers make.
func (rw *Rewriter) Rewrite(dst io.Writer, src io.Reader) error {
	r := &run{Rewriter: rw, out: dst}
	z := html.NewTokenizer(src)
	z.SetMaxBuf(MaxToken)
	for {
		kind := z.Next()
		raw := bytes.Clone(z.Raw())
		var err error
		switch kind {
		case html.ErrorToken:
			if z.Err() != io.EOF {
				return fmt.Errorf("rewrite the document: %w", z.Err())
			}
			if err := r.write(raw); err != nil {
				return err
			}
			return r.end()
		case html.StartTagToken, html.SelfClosingTagToken:
			if err = r.start(raw); err == nil && r.foreign() {
				z.NextIsNotRawText()
			}
			z.AllowCDATA(r.foreign())
		case html.EndTagToken:
			err = r.close(raw)
			z.AllowCDATA(r.foreign())
		case html.TextToken:
			err = r.text(raw)
		case html.CommentToken:
			err = r.comment(raw)
		case html.DoctypeToken:
			if err = r.doctype(string(z.Text())); err == nil {
				err = r.write(raw)
			}
		}
		if err != nil {
			return err
		}
	}
}

// foreign says whether the innermost element is of SVG or MathML.
func (r *run) foreign() bool {
	return len(r.stack) > 0 && r.stack[len(r.stack)-1].namespace != namespaceHTML
}

func (r *run) write(b []byte) error {
	if r.hidden > 0 || len(b) == 0 {
		return nil
	}
	_, err := r.out.Write(b)
	return err
}

// put writes contents, or drops them where nothing leaves.
func (r *run) put(list []Content) error {
	for _, c := range list {
		switch {
		case r.hidden == 0:
			if err := c.writeTo(r.out); err != nil {
				return err
			}
		case c.Reader != nil:
			_ = c.Reader.Close()
		}
	}
	return nil
}

// around writes a part with what handlers did around it.
func (r *run) around(e *Edits, part func() error) error {
	if err := r.put(e.before); err != nil {
		return err
	}
	if e.removed {
		if err := r.put(e.replaced); err != nil {
			return err
		}
	} else if err := part(); err != nil {
		return err
	}
	return r.put(e.after)
}

func (r *run) start(raw []byte) error {
	t := parseTag(raw)
	name := strings.ToLower(t.name)
	parent := &r.root
	namespace := namespaceHTML
	if len(r.stack) > 0 {
		parent = r.stack[len(r.stack)-1]
		namespace = parent.namespace
		if parent.name == "foreignobject" || parent.name == "desc" || parent.name == "title" || parent.name == "annotation-xml" {
			namespace = namespaceHTML
		}
	}
	switch name {
	case "svg":
		namespace = namespaceSVG
	case "math":
		namespace = namespaceMathML
	}
	n := &node{name: name, namespace: namespace, attrs: t.attrs}
	n.index, n.typeIndex = parent.count(name)
	n.empty = namespace == namespaceHTML && void[name] || namespace != namespaceHTML && t.selfClosing
	r.stack = append(r.stack, n)
	e := &Element{tag: t, node: n}
	for i := range r.rules {
		rule := &r.rules[i]
		if !rule.selector.match(r.stack) {
			continue
		}
		if rule.Comments != nil || rule.Text != nil {
			n.matched = append(n.matched, rule)
		}
		if rule.Element != nil {
			if err := rule.Element(e); err != nil {
				return err
			}
		}
	}
	return r.open(e)
}

// open writes the start of an element as its handlers left it.
func (r *run) open(e *Element) error {
	n := e.node
	if err := r.put(e.before); err != nil {
		return err
	}
	n.after, n.onEnd, n.append_ = e.after, e.onEnd, e.appended
	switch {
	case e.removed:
		if err := r.put(e.replaced); err != nil {
			return err
		}
		n.append_, n.hidden, n.bare = nil, true, true
	default:
		n.bare = e.keep
		if !e.keep {
			if err := r.write(e.tag.bytes()); err != nil {
				return err
			}
		}
		if n.empty {
			break
		}
		if err := r.put(e.prepended); err != nil {
			return err
		}
		if e.inner != nil {
			if err := r.put([]Content{*e.inner}); err != nil {
				return err
			}
			n.hidden = true
		}
	}
	if n.hidden {
		r.hidden++
	}
	if n.empty {
		n.append_ = nil
		return r.pop(nil)
	}
	return nil
}

// pop ends the innermost element; raw is its end tag, nil where it has none.
func (r *run) pop(raw []byte) error {
	n := r.stack[len(r.stack)-1]
	t := &EndTag{Name: n.name}
	if raw != nil {
		for _, fn := range n.onEnd {
			if err := fn(t); err != nil {
				return err
			}
		}
	}
	r.stack = r.stack[:len(r.stack)-1]
	if n.hidden {
		r.hidden--
	}
	if err := r.put(n.append_); err != nil {
		return err
	}
	if raw != nil {
		switch {
		case t.renamed:
			raw = []byte("</" + t.Name + ">")
		case n.renamed != "":
			raw = []byte("</" + n.renamed + ">")
		}
		if n.bare {
			raw = nil
		}
		if err := r.around(&t.Edits, func() error { return r.write(raw) }); err != nil {
			return err
		}
	}
	return r.put(n.after)
}

// close handles an end tag: it ends the nearest element of its name, with all that are open in it.
func (r *run) close(raw []byte) error {
	name := strings.ToLower(parseTag(append([]byte("<"), raw[2:]...)).name)
	at := -1
	for i, n := range slices.Backward(r.stack) {
		if n.name == name {
			at = i
			break
		}
	}
	if at < 0 {
		return r.write(raw)
	}
	for len(r.stack) > at+1 {
		if err := r.pop(nil); err != nil {
			return err
		}
	}
	return r.pop(raw)
}

// inside calls fn for each rule that an open element matched, once.
func (r *run) inside(fn func(*rule) error) error {
	var seen []*rule
	for _, n := range r.stack {
		for _, rule := range n.matched {
			if slices.Contains(seen, rule) {
				continue
			}
			seen = append(seen, rule)
			if err := fn(rule); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) text(raw []byte) error {
	t := &Text{Text: string(raw), Last: true}
	for _, d := range r.document {
		if d.Text != nil {
			if err := d.Text(t); err != nil {
				return err
			}
		}
	}
	err := r.inside(func(rule *rule) error {
		if rule.Text == nil {
			return nil
		}
		return rule.Text(t)
	})
	if err != nil {
		return err
	}
	return r.around(&t.Edits, func() error { return r.write(raw) })
}

func (r *run) comment(raw []byte) error {
	c := &Comment{text: commentText(string(raw))}
	for _, d := range r.document {
		if d.Comments != nil {
			if err := d.Comments(c); err != nil {
				return err
			}
		}
	}
	err := r.inside(func(rule *rule) error {
		if rule.Comments == nil {
			return nil
		}
		return rule.Comments(c)
	})
	if err != nil {
		return err
	}
	if c.changed {
		raw = []byte("<!--" + c.text + "-->")
	}
	return r.around(&c.Edits, func() error { return r.write(raw) })
}

// commentText takes the marks off a comment, a bogus one too.
func commentText(raw string) string {
	if text, ok := strings.CutPrefix(raw, "<!--"); ok {
		text = strings.TrimSuffix(text, "-->")
		return strings.TrimSuffix(text, "--!>")
	}
	text := strings.TrimSuffix(raw, ">")
	if len(text) > 1 && (text[1] == '!' || text[1] == '/') {
		return text[2:]
	}
	return strings.TrimPrefix(text, "<")
}

func (r *run) doctype(text string) error {
	d := &Doctype{}
	rest := strings.TrimSpace(text)
	d.Name, rest, _ = strings.Cut(rest, " ")
	d.Name = strings.ToLower(d.Name)
	rest = strings.TrimSpace(rest)
	if len(rest) >= 6 {
		switch strings.ToLower(rest[:6]) {
		case "public":
			d.PublicID, rest = quoted(rest[6:])
			d.SystemID, _ = quoted(rest)
		case "system":
			d.SystemID, _ = quoted(rest[6:])
		}
	}
	for _, h := range r.document {
		if h.Doctype != nil {
			if err := h.Doctype(d); err != nil {
				return err
			}
		}
	}
	return nil
}

// quoted takes a quoted string off the beginning of s.
func quoted(s string) (text, rest string) {
	s = strings.TrimSpace(s)
	if s == "" || s[0] != '"' && s[0] != '\'' {
		return "", s
	}
	text, rest, _ = strings.Cut(s[1:], s[:1])
	return text, rest
}

// end ends what is open, and the document.
func (r *run) end() error {
	for len(r.stack) > 0 {
		if err := r.pop(nil); err != nil {
			return err
		}
	}
	for _, d := range r.document {
		if d.End == nil {
			continue
		}
		e := &End{}
		if err := d.End(e); err != nil {
			return err
		}
		if err := r.put(e.appended); err != nil {
			return err
		}
	}
	return nil
}
