package htmlrewriter

import (
	"io"
	"strings"
)

// Content is what a handler puts into the document: a text, or what a reader gives when its place is reached.
type Content struct {
	Text   string
	Reader io.ReadCloser // nil: Text; closed when it was read, or is not needed any more
	HTML   bool          // it is markup; otherwise <, > and & are escaped
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func (c Content) writeTo(w io.Writer) error {
	if c.Reader == nil {
		text := c.Text
		if !c.HTML {
			text = escaper.Replace(text)
		}
		_, err := io.WriteString(w, text)
		return err
	}
	defer c.Reader.Close()
	if c.HTML {
		_, err := io.Copy(w, c.Reader)
		return err
	}
	_, err := io.Copy(escapingWriter{w}, c.Reader)
	return err
}

type escapingWriter struct{ io.Writer }

// Write escapes bytes; the characters escaped are ASCII, so a character cut in two does no harm.
func (w escapingWriter) Write(p []byte) (int, error) {
	if _, err := escaper.WriteString(w.Writer, string(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Edits are what a handler does around a part of the document.
type Edits struct {
	before, after []Content // in the order in which they leave
	replaced      []Content
	removed       bool
}

// Before puts content before the part, after what was put there earlier.
func (e *Edits) Before(c Content) { e.before = append(e.before, c) }

// After puts content after the part, before what was put there earlier.
func (e *Edits) After(c Content) { e.after = append([]Content{c}, e.after...) }

// Replace puts content in the place of the part.
func (e *Edits) Replace(c Content) {
	e.removed, e.replaced = true, []Content{c}
}

// Remove takes the part out.
func (e *Edits) Remove() { e.removed, e.replaced = true, nil }

// Removed says whether the part was taken out.
func (e *Edits) Removed() bool { return e.removed }
