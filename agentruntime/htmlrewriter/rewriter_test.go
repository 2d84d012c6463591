package htmlrewriter

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// rewrite runs a document, one byte at a time, through handlers for one selector.
func rewrite(t *testing.T, selector, in string, h Handlers) string {
	t.Helper()
	s, err := ParseSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	var rw Rewriter
	rw.On(s, h)
	var out strings.Builder
	if err := rw.Rewrite(&out, iotest.OneByteReader(strings.NewReader(in))); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestUntouchedBytesStay(t *testing.T) {
	for _, in := range []string{
		"", "text only", "<p>one<p class=a  id='b'  >two</P >", "<!DOCTYPE html><html><!-- c --><body>x &amp; y &lt;</body></html>",
		"<script>if (a < b && c > d) { '</p>' }</script><style>a > b{}</style><textarea><p></textarea>", "<a href=x/y>z</a/><br/><img src=a>",
		"<svg><title><p/></title><path d='M0 0'/></svg><math><![CDATA[ <x> ]]></math>", "</stray><unclosed>a<b", "<?xml version='1'?><x y=\"&quot;\">",
		"ümläut \xff bytes <ö>",
	} {
		if got := rewrite(t, "*", in, Handlers{Element: func(*Element) error { return nil }, Text: func(*Text) error { return nil }, Comments: func(*Comment) error { return nil }}); got != in {
			t.Errorf("%q became %q", in, got)
		}
	}
}

func TestSelectors(t *testing.T) {
	const doc = `<div id=a class="x y"><p n=1></p><p n=2 lang=en-GB><b n=3></b></p><span n=4 data-v="Foo bar"></span><p n=5><i><b n=6></b></i></p></div><p n=7></p>`
	for selector, want := range map[string]string{
		"p": "1 2 5 7", "*": "1 2 3 4 5 6 7", "div p": "1 2 5", "div > p": "1 2 5", "div b": "3 6", "p > b": "3", "div > b": "", "#a p": "1 2 5", ".y span": "4",
		".z span": "", "p:first-child": "1", "p:nth-child(2)": "2 7", "p:nth-child(odd)": "1", "p:nth-of-type(3)": "5", "p:nth-of-type(2n+1)": "1 5 7",
		"p:nth-child(-n+2)": "1 2 7", "b:first-of-type": "3 6", "[n='4']": "4", "[n]:not(p)": "3 4 6", "[data-v~=bar]": "4", "[data-v^=Foo]": "4", "[data-v$='bar']": "4",
		"[data-v*='o b']": "4", "[data-v='FOO BAR' i]": "4", "[data-v='FOO BAR']": "", "[lang|=en]": "2", "span, p > b": "3 4", "P": "1 2 5 7",
		"div *  b": "3 6", "p:not([lang])": "1 5 7",
	} {
		var got []string
		rewrite(t, selector, doc, Handlers{Element: func(e *Element) error {
			if n, ok := e.Attribute("N"); ok {
				got = append(got, n)
			}
			return nil
		}})
		if strings.Join(got, " ") != want {
			t.Errorf("%s matched %q, want %q", selector, got, want)
		}
	}
}

func TestSelectorsRefused(t *testing.T) {
	for selector, want := range map[string]string{
		"": "missing", "p + p": `'+' is not supported`, "p ~ p": `'~' is not supported`, "p:hover": ":hover is not supported", "p::before": "pseudo-elements",
		"p:nth-child(x)": "an+b", "[a": `'=' is expected`, "a,": "missing", "[a='b]": "does not end", "p:has(b)": ":has is not supported", "a!": "not expected",
	} {
		if _, err := ParseSelector(selector); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", selector, err, want)
		}
	}
}

func TestElementEdits(t *testing.T) {
	markup := func(s string) Content { return Content{Text: s, HTML: true} }
	for _, c := range []struct {
		name, in, want string
		do             func(*Element)
	}{
		{"attributes", `<p a=1 b="2" c>x</p>`, `<p a=1 c d="&lt;&quot;">x</p>`, func(e *Element) { e.SetAttribute("D", `&lt;"`); e.RemoveAttribute("B") }},
		{"an attribute anew", `<p a=1 b>x</p>`, `<p a="2" b>x</p>`, func(e *Element) { e.SetAttribute("a", "2") }},
		{"a name", `<p>x</p>`, `<h1>x</h1>`, func(e *Element) { e.SetTagName("h1") }},
		{"around", `<p>x</p>`, `12<p>34x56</p>78`, func(e *Element) {
			e.Before(markup("1"))
			e.Before(markup("2"))
			e.Prepend(markup("4"))
			e.Prepend(markup("3"))
			e.Append(markup("5"))
			e.Append(markup("6"))
			e.After(markup("8"))
			e.After(markup("7"))
		}},
		{"escaped", `<p>x</p>`, `&lt;b&gt; &amp;<p>x</p>`, func(e *Element) { e.Before(Content{Text: "<b> &"}) }},
		{"from a reader, escaped", `<p>x</p>`, `<p>x</p>a&lt;b`, func(e *Element) {
			e.After(Content{Reader: io.NopCloser(iotest.OneByteReader(strings.NewReader("a<b")))})
		}},
		{"replaced", `a<p>x<b>y</b></p>z`, `a1<i>2</i>3z`, func(e *Element) { e.Before(markup("1")); e.Replace(markup("<i>2</i>")); e.After(markup("3")) }},
		{"removed", `a<p>x<b>y</b></p>z`, `az`, func(e *Element) { e.Remove() }},
		{"tags removed", `a<p>x<b>y</b></p>z`, `ax<b>y</b>z`, func(e *Element) { e.RemoveAndKeepContent() }},
		{"inner", `<p>x<b>y</b></p>z`, `<p>new</p>z`, func(e *Element) { e.SetInnerContent(markup("new")) }},
		{"an end tag", `<p>x</p>z`, `<p>x1</q>2z`, func(e *Element) {
			e.OnEndTag(func(t *EndTag) error { t.Before(markup("1")); t.After(markup("2")); t.SetName("q"); return nil })
		}},
		{"an end tag removed", `<p>x</p>z`, `<p>xz`, func(e *Element) { e.OnEndTag(func(t *EndTag) error { t.Remove(); return nil }) }},
		{"no end tag", `<div><p>x</div>z`, `<div><p>x12</div>z`, func(e *Element) { e.Append(markup("1")); e.After(markup("2")) }},
	} {
		if got := rewrite(t, "p", c.in, Handlers{Element: func(e *Element) error { c.do(e); return nil }}); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	void := rewrite(t, "br", `a<br>b<svg><br/></svg>`, Handlers{Element: func(e *Element) error {
		if e.CanHaveContent() {
			t.Error("a void element can have content")
		}
		e.Append(markup("lost"))
		e.After(markup("!"))
		return nil
	}})
	if want := `a<br>!b<svg><br/>!</svg>`; void != want {
		t.Errorf("void elements: %q, want %q", void, want)
	}
}

func TestTextsCommentsAndTheDocument(t *testing.T) {
	var rw Rewriter
	s, err := ParseSelector("div")
	if err != nil {
		t.Fatal(err)
	}
	rw.On(s, Handlers{
		Text: func(t *Text) error {
			t.Replace(Content{Text: strings.ToUpper(t.Text), HTML: true})
			return nil
		},
		Comments: func(c *Comment) error { c.SetText(c.Text() + "!"); return nil },
	})
	var seen []string
	rw.OnDocument(DocumentHandlers{
		Doctype:  func(d *Doctype) error { seen = append(seen, d.Name, d.PublicID, d.SystemID); return nil },
		Comments: func(c *Comment) error { seen = append(seen, c.Text()); return nil },
		End:      func(e *End) error { e.Append(Content{Text: "<!--end-->", HTML: true}); return nil },
	})
	var out strings.Builder
	in := `<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN" 'http://www.w3.org/TR/html4/strict.dtd'>a<!--b--><div>c<b>d</b><!--e--></div>f`
	if err := rw.Rewrite(&out, strings.NewReader(in)); err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(in, "c<b>d</b><!--e-->", "C<b>D</b><!--e!-->", 1) + "<!--end-->"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	if got := strings.Join(seen, "|"); got != "html|-//W3C//DTD HTML 4.01//EN|http://www.w3.org/TR/html4/strict.dtd|b|e" {
		t.Errorf("saw %q", got)
	}
}

func TestErrorsEndTheRewriting(t *testing.T) {
	var rw Rewriter
	s, _ := ParseSelector("b")
	broken := errors.New("broken")
	rw.On(s, Handlers{Element: func(*Element) error { return broken }})
	var out strings.Builder
	if err := rw.Rewrite(&out, strings.NewReader("<a>x</a><b>")); !errors.Is(err, broken) || out.String() != "<a>x</a>" {
		t.Errorf("%q, %v", out.String(), err)
	}
	if err := rw.Rewrite(io.Discard, io.MultiReader(strings.NewReader("<a>"), iotest.ErrReader(io.ErrUnexpectedEOF))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v, want the reader's error", err)
	}
}

func FuzzRewrite(f *testing.F) {
	for _, seed := range []string{"<p a=b>x</p>", "<!DOCTYPE html><svg/><br><a/>", "<<>></<!-->", "<p a='", "<script></script", "<title>", "<p =a= b>"} {
		f.Add(seed)
	}
	s, err := ParseSelector("*")
	if err != nil {
		f.Fatal(err)
	}
	var rw Rewriter
	rw.On(s, Handlers{Element: func(*Element) error { return nil }, Text: func(*Text) error { return nil }, Comments: func(*Comment) error { return nil }})
	f.Fuzz(func(t *testing.T, in string) {
		var out strings.Builder
		if err := rw.Rewrite(&out, strings.NewReader(in)); err != nil || out.String() != in {
			t.Errorf("%q became %q, %v", in, out.String(), err)
		}
	})
}
