package htmlrewriter

import "strings"

// Element is an element whose start tag has come by. It may be changed until its handler has returned.
type Element struct {
	Edits
	tag       *tag
	node      *node
	prepended []Content
	appended  []Content
	inner     *Content // replaces the content
	keep      bool     // only the tags were removed
	onEnd     []func(*EndTag) error
}

// TagName is the element's name in lower case.
func (e *Element) TagName() string { return strings.ToLower(e.tag.name) }

// SetTagName renames the element, its end tag too.
func (e *Element) SetTagName(name string) {
	e.tag.name, e.tag.changed = name, true
	e.node.renamed = name
}

// Attributes are the names and values in the document's order. Values are as the document spells them, character
// references included.
func (e *Element) Attributes() (list [][2]string) {
	for _, a := range e.tag.attrs {
		list = append(list, [2]string{a.name, a.value})
	}
	return list
}

// Attribute returns an attribute's value, as the document spells it.
func (e *Element) Attribute(name string) (string, bool) {
	a := e.tag.find(strings.ToLower(name))
	if a == nil {
		return "", false
	}
	return a.value, true
}

// SetAttribute sets an attribute, whose value is written as it is but for quotes.
func (e *Element) SetAttribute(name, value string) {
	name = strings.ToLower(name)
	a := e.tag.find(name)
	if a == nil {
		e.tag.attrs = append(e.tag.attrs, attr{})
		a = &e.tag.attrs[len(e.tag.attrs)-1]
	}
	*a = attr{name: name, value: value}
	e.tag.changed = true
}

// RemoveAttribute takes an attribute out.
func (e *Element) RemoveAttribute(name string) {
	name = strings.ToLower(name)
	kept := e.tag.attrs[:0:0]
	for _, a := range e.tag.attrs {
		if a.name != name {
			kept = append(kept, a)
		}
	}
	e.tag.changed = e.tag.changed || len(kept) != len(e.tag.attrs)
	e.tag.attrs = kept
}

// SelfClosing says whether the tag ends with a slash, and CanHaveContent whether the element has any content.
func (e *Element) SelfClosing() bool { return e.tag.selfClosing }

// CanHaveContent is false for void elements, and for self-closing ones of SVG and MathML.
func (e *Element) CanHaveContent() bool { return !e.node.empty }

// Namespace is the URI of the element's namespace.
func (e *Element) Namespace() string { return e.node.namespace }

// Prepend puts content after the start tag, before what was put there earlier.
func (e *Element) Prepend(c Content) { e.prepended = append([]Content{c}, e.prepended...) }

// Append puts content before the end tag, after what was put there earlier.
func (e *Element) Append(c Content) { e.appended = append(e.appended, c) }

// SetInnerContent puts content in the place of the element's.
func (e *Element) SetInnerContent(c Content) {
	e.inner = &c
	e.prepended, e.appended = nil, nil
}

// RemoveAndKeepContent takes only the tags out.
func (e *Element) RemoveAndKeepContent() { e.keep = true }

// Removed says whether the element, or its tags, were taken out.
func (e *Element) Removed() bool { return e.removed || e.keep }

// OnEndTag has fn called at the end tag, if the document has one.
func (e *Element) OnEndTag(fn func(*EndTag) error) { e.onEnd = append(e.onEnd, fn) }

// EndTag is the end tag of an element.
type EndTag struct {
	Edits
	Name    string
	renamed bool
}

// SetName changes the name in the end tag only.
func (t *EndTag) SetName(name string) { t.Name, t.renamed = name, true }

// Text is a text of the document, as it is spelled there.
type Text struct {
	Edits
	Text string
	// Last says that the text node ends here.
	Last bool
}

// Comment is a comment.
type Comment struct {
	Edits
	text    string
	changed bool
}

// Text is what stands between the comment's marks, and SetText replaces it.
func (c *Comment) Text() string { return c.text }

// SetText changes the comment.
func (c *Comment) SetText(s string) { c.text, c.changed = s, true }

// Doctype is the document's type declaration, each part empty where it has none.
type Doctype struct{ Name, PublicID, SystemID string }

// End is the document's end.
type End struct{ appended []Content }

// Append puts content at the document's end.
func (e *End) Append(c Content) { e.appended = append(e.appended, c) }

// ValidAttribute says whether an attribute may have the name.
func ValidAttribute(name string) bool {
	return name != "" && !strings.ContainsAny(name, " \t\n\r\f\"'>/=<\x00")
}

// ValidComment says whether a comment may have the text: it must not hold what would end it.
func ValidComment(text string) bool {
	return !strings.Contains(text, "-->") && !strings.Contains(text, "--!>") && !strings.HasPrefix(text, ">") && !strings.HasPrefix(text, "->")
}
