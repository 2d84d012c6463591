package agentruntime

import (
	"context"
	"io"
	"sync"

	"github.com/dop251/goja"

	"github.com/gatehouse-edge/gatehouse/agentruntime/htmlrewriter"
)

// rewriterObject is the state of an HTMLRewriter (https://developers.cloudflare.com/workers/runtime-apis/html-rewriter/).
type rewriterObject struct {
	elements  []elementRule
	documents []goja.Value
}

type elementRule struct {
	selector htmlrewriter.Selector
	handlers goja.Value
}

// rewriting is one response that is being rewritten: on a goroutine of its own, which calls the handlers on the loop and
// waits for each. It begins when somebody reads.
type rewriting struct {
	r       *realm
	scope   *scope
	ctx     context.Context
	rules   *htmlrewriter.Rewriter
	src     io.ReadCloser
	in      *io.PipeReader
	out     *io.PipeWriter
	begin   sync.Once
	end     sync.Once
	release func() // lets the invocation end
	// answers is the invocation whose answer the response is, nil for any other: nobody can catch what a handler throws.
	answers *Invocation
}

// transform makes the response whose body is rewritten as it is read.
func (r *realm) transform(o *rewriterObject, p *response) *goja.Object {
	if p.content.unusable() {
		panic(r.typeError("HTMLRewriter.transform(): the body of the Response has already been used."))
	}
	next := *p
	next.header, next.headerObj = headers{fields: p.header.fields.Clone()}, nil
	if p.content.kind == bodyNone {
		return r.instance("Response", &next)
	}
	next.header.own()
	delete(next.header.fields, "Content-Length")
	src, _ := r.bodyReader(&p.content)
	w := &rewriting{r: r, scope: r.scope(), ctx: r.current().ctx(), rules: &htmlrewriter.Rewriter{}, src: src, release: func() {}}
	w.in, w.out = io.Pipe()
	for _, rule := range o.elements {
		w.rules.On(rule.selector, htmlrewriter.Handlers{
			Element:  handling[*htmlrewriter.Element](w, rule.handlers, "element", "Element"),
			Comments: handling[*htmlrewriter.Comment](w, rule.handlers, "comments", "Comment"),
			Text:     handling[*htmlrewriter.Text](w, rule.handlers, "text", "Text"),
		})
	}
	for _, handlers := range o.documents {
		w.rules.OnDocument(htmlrewriter.DocumentHandlers{
			Doctype:  handling[*htmlrewriter.Doctype](w, handlers, "doctype", "Doctype"),
			Comments: handling[*htmlrewriter.Comment](w, handlers, "comments", "Comment"),
			Text:     handling[*htmlrewriter.Text](w, handlers, "text", "Text"),
			End:      handling[*htmlrewriter.End](w, handlers, "end", "DocumentEnd"),
		})
	}
	next.content = body{kind: bodyReader, reader: w, length: -1}
	return r.instance("Response", &next)
}

// documentPart is what code holds of a document while a handler runs. Afterwards it is of no use: the document has gone on.
type documentPart struct {
	w    *rewriting
	what any
	over bool
}

// partOf returns the part that a method was called on, as a T.
func partOf[T any](r *realm, p *documentPart) T {
	if p.over {
		panic(r.typeError("This content token is no longer valid. Content tokens are only valid during the execution of the relevant content handler."))
	}
	t, ok := p.what.(T)
	if !ok {
		panic(r.typeError("Illegal invocation"))
	}
	return t
}

// partGetter and partMethod are getter and method for a part that is a T.
func partGetter[T any](f func(r *realm, t T) goja.Value) nativeFunc {
	return getter(func(r *realm, p *documentPart) goja.Value { return f(r, partOf[T](r, p)) })
}

func partMethod[T any](f func(r *realm, t T, call goja.FunctionCall) goja.Value) nativeFunc {
	return method(func(r *realm, p *documentPart, call goja.FunctionCall) goja.Value { return f(r, partOf[T](r, p), call) })
}

// handling makes a handler that calls a method of handlers with an object of the named class; nil where it has none.
func handling[T any](w *rewriting, handlers goja.Value, name, class string) func(T) error {
	fn, ok := goja.AssertFunction(optional(handlers, name))
	if !ok {
		return nil
	}
	return func(what T) error { return w.call(fn, handlers, class, what) }
}

// call runs a handler on the loop and waits for what it came to.
func (w *rewriting) call(fn goja.Callable, this goja.Value, class string, what any) error {
	result := make(chan error, 1)
	w.r.deliver(w.scope, func() {
		w.r.inLoop(func() {
			p := &documentPart{w: w, what: what}
			ended := func(err error) {
				p.over = true
				if err != nil && w.answers != nil {
					w.answers.uncaught(err)
				}
				result <- err
			}
			v, err := fn(this, w.r.instance(class, p))
			if thrown := thrownBy(err); thrown != nil {
				ended(w.r.thrownError(thrown))
				return
			}
			w.r.upon(v, func(goja.Value) { ended(nil) }, func(reason goja.Value) { ended(w.r.thrownError(reason)) })
		})
	})
	select {
	case err := <-result:
		return err
	case <-w.ctx.Done():
		return context.Cause(w.ctx)
	}
}

// held keeps the invocation until the answer that w is the body of has left. On the loop.
func (w *rewriting) held() { w.release = w.r.current().hold() }

func (w *rewriting) Read(p []byte) (int, error) {
	w.begin.Do(func() {
		go func() {
			stop := context.AfterFunc(w.ctx, func() { _ = w.in.CloseWithError(context.Cause(w.ctx)) })
			defer stop()
			err := w.rules.Rewrite(w.out, w.src)
			_ = w.src.Close()
			_ = w.out.CloseWithError(err)
		}()
	})
	n, err := w.in.Read(p)
	if err != nil {
		w.finish()
	}
	return n, err
}

func (w *rewriting) Close() error {
	err := w.in.CloseWithError(errDrainClosed)
	w.begin.Do(func() { _ = w.src.Close() })
	w.finish()
	return err
}

func (w *rewriting) finish() {
	w.end.Do(func() { w.r.deliver(w.scope, func() { w.release() }) })
}

// contentOf reads the arguments of a method that puts content into the document.
func (r *realm) contentOf(call goja.FunctionCall) htmlrewriter.Content {
	var c htmlrewriter.Content
	if v := optional(call.Argument(1), "html"); v != nil {
		c.HTML = v.ToBoolean()
	}
	if p, ok := nativeOf[*response](r, call.Argument(0)); ok {
		if p.content.unusable() {
			panic(r.typeError("the body of the Response has already been used"))
		}
		if c.Reader, _ = r.bodyReader(&p.content); c.Reader == nil {
			c.Text = ""
		}
		return c
	}
	if s, ok := nativeOf[*readable](r, call.Argument(0)); ok {
		if s.reader != nil || s.disturbed {
			panic(r.typeError("the ReadableStream is locked or disturbed"))
		}
		c.Reader, _ = r.bodyReader(&body{kind: bodyStream, stream: s, length: -1})
		return c
	}
	c.Text = r.str(call.Argument(0))
	return c
}

// editor is what can be changed around: an element, a text, a comment, an end tag.
type editor interface {
	Before(htmlrewriter.Content)
	After(htmlrewriter.Content)
	Replace(htmlrewriter.Content)
	Remove()
	Removed() bool
}

// put is a method that puts content somewhere and returns the object.
func put[T any](name string, where func(t T, c htmlrewriter.Content)) member {
	return member{name: name, length: 1, call: partMethod(func(r *realm, t T, call goja.FunctionCall) goja.Value {
		r.need(call, 1, "'"+name+"'")
		where(t, r.contentOf(call))
		return call.This
	})}
}

var editMembers = []member{
	put("before", editor.Before), put("after", editor.After), put("replace", editor.Replace),
	{name: "remove", call: partMethod(func(_ *realm, e editor, call goja.FunctionCall) goja.Value {
		e.Remove()
		return call.This
	})},
	{name: "removed", get: partGetter(func(r *realm, e editor) goja.Value { return r.rt.ToValue(e.Removed()) })},
}

func orNullText(r *realm, s string) goja.Value {
	if s == "" {
		return goja.Null()
	}
	return r.rt.ToValue(s)
}

func init() {
	(&webClass{
		name: "HTMLRewriter",
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			r.attach(call.This, &rewriterObject{})
			return nil
		},
		members: []member{
			{name: "on", length: 2, call: method(func(r *realm, o *rewriterObject, call goja.FunctionCall) goja.Value {
				r.need(call, 2, "'on' on 'HTMLRewriter'")
				s, err := htmlrewriter.ParseSelector(r.str(call.Argument(0)))
				if err != nil {
					panic(r.typeError(err.Error()))
				}
				r.dictionary(call.Argument(1), "the handlers")
				o.elements = append(o.elements, elementRule{s, call.Argument(1)})
				return call.This
			})},
			{name: "onDocument", length: 1, call: method(func(r *realm, o *rewriterObject, call goja.FunctionCall) goja.Value {
				r.dictionary(call.Argument(0), "the handlers")
				o.documents = append(o.documents, call.Argument(0))
				return call.This
			})},
			{name: "transform", length: 1, call: method(func(r *realm, o *rewriterObject, call goja.FunctionCall) goja.Value {
				p, ok := nativeOf[*response](r, call.Argument(0))
				if !ok {
					panic(r.typeError("Failed to execute 'transform' on 'HTMLRewriter': parameter 1 is not of type 'Response'."))
				}
				return r.transform(o, p)
			})},
		},
	}).declare()
	(&webClass{name: "Element", members: append([]member{
		{
			name: "tagName",
			get:  partGetter(func(r *realm, e *htmlrewriter.Element) goja.Value { return r.rt.ToValue(e.TagName()) }),
			set: partMethod(func(r *realm, e *htmlrewriter.Element, call goja.FunctionCall) goja.Value {
				e.SetTagName(r.str(call.Argument(0)))
				return goja.Undefined()
			}),
		},
		{name: "attributes", get: partGetter(func(r *realm, e *htmlrewriter.Element) goja.Value {
			var pairs []any
			for _, a := range e.Attributes() {
				pairs = append(pairs, r.rt.NewArray(a[0], a[1]))
			}
			list := r.rt.NewArray(pairs...)
			values, _ := goja.AssertFunction(list.Get("values"))
			v, err := values(list)
			if err != nil {
				panic(err)
			}
			return v
		})},
		{name: "namespaceURI", get: partGetter(func(r *realm, e *htmlrewriter.Element) goja.Value { return r.rt.ToValue(e.Namespace()) })},
		{name: "selfClosing", get: partGetter(func(r *realm, e *htmlrewriter.Element) goja.Value { return r.rt.ToValue(e.SelfClosing()) })},
		{name: "canHaveContent", get: partGetter(func(r *realm, e *htmlrewriter.Element) goja.Value { return r.rt.ToValue(e.CanHaveContent()) })},
		{name: "getAttribute", length: 1, call: partMethod(func(r *realm, e *htmlrewriter.Element, call goja.FunctionCall) goja.Value {
			v, ok := e.Attribute(r.str(call.Argument(0)))
			if !ok {
				return goja.Null()
			}
			return r.rt.ToValue(v)
		})},
		{name: "hasAttribute", length: 1, call: partMethod(func(r *realm, e *htmlrewriter.Element, call goja.FunctionCall) goja.Value {
			_, ok := e.Attribute(r.str(call.Argument(0)))
			return r.rt.ToValue(ok)
		})},
		{name: "setAttribute", length: 2, call: partMethod(func(r *realm, e *htmlrewriter.Element, call goja.FunctionCall) goja.Value {
			r.need(call, 2, "'setAttribute' on 'Element'")
			name := r.str(call.Argument(0))
			if !htmlrewriter.ValidAttribute(name) {
				panic(r.typeError("setAttribute(): an attribute can't have the name " + quote(name)))
			}
			e.SetAttribute(name, r.str(call.Argument(1)))
			return call.This
		})},
		{name: "removeAttribute", length: 1, call: partMethod(func(r *realm, e *htmlrewriter.Element, call goja.FunctionCall) goja.Value {
			e.RemoveAttribute(r.str(call.Argument(0)))
			return call.This
		})},
		put("prepend", (*htmlrewriter.Element).Prepend), put("append", (*htmlrewriter.Element).Append),
		put("setInnerContent", (*htmlrewriter.Element).SetInnerContent),
		{name: "removeAndKeepContent", call: partMethod(func(_ *realm, e *htmlrewriter.Element, call goja.FunctionCall) goja.Value {
			e.RemoveAndKeepContent()
			return call.This
		})},
		{name: "onEndTag", length: 1, call: method(func(r *realm, p *documentPart, call goja.FunctionCall) goja.Value {
			e := partOf[*htmlrewriter.Element](r, p)
			fn := r.callable(call.Argument(0), nil, "onEndTag(): the handler")
			if !e.CanHaveContent() {
				panic(r.typeError("onEndTag(): the element has no end tag"))
			}
			e.OnEndTag(func(t *htmlrewriter.EndTag) error { return p.w.call(fn.fn, fn.this, "EndTag", t) })
			return goja.Undefined()
		})},
	}, editMembers...)}).declare()
	(&webClass{name: "EndTag", members: append([]member{{
		name: "name",
		get:  partGetter(func(r *realm, t *htmlrewriter.EndTag) goja.Value { return r.rt.ToValue(t.Name) }),
		set: partMethod(func(r *realm, t *htmlrewriter.EndTag, call goja.FunctionCall) goja.Value {
			t.SetName(r.str(call.Argument(0)))
			return goja.Undefined()
		}),
	}}, editMembers...)}).declare()
	(&webClass{name: "Text", members: append([]member{
		{name: "text", get: partGetter(func(r *realm, t *htmlrewriter.Text) goja.Value { return r.rt.ToValue(t.Text) })},
		{name: "lastInTextNode", get: partGetter(func(r *realm, t *htmlrewriter.Text) goja.Value { return r.rt.ToValue(t.Last) })},
	}, editMembers...)}).declare()
	(&webClass{name: "Comment", members: append([]member{{
		name: "text",
		get:  partGetter(func(r *realm, c *htmlrewriter.Comment) goja.Value { return r.rt.ToValue(c.Text()) }),
		set: partMethod(func(r *realm, c *htmlrewriter.Comment, call goja.FunctionCall) goja.Value {
			text := r.str(call.Argument(0))
			if !htmlrewriter.ValidComment(text) {
				panic(r.typeError("a comment's text can't hold the mark that ends comments"))
			}
			c.SetText(text)
			return goja.Undefined()
		}),
	}}, editMembers...)}).declare()
	(&webClass{name: "Doctype", members: []member{
		{name: "name", get: partGetter(func(r *realm, d *htmlrewriter.Doctype) goja.Value { return orNullText(r, d.Name) })},
		{name: "publicId", get: partGetter(func(r *realm, d *htmlrewriter.Doctype) goja.Value { return orNullText(r, d.PublicID) })},
		{name: "systemId", get: partGetter(func(r *realm, d *htmlrewriter.Doctype) goja.Value { return orNullText(r, d.SystemID) })},
	}}).declare()
	(&webClass{name: "DocumentEnd", members: []member{put("append", (*htmlrewriter.End).Append)}}).declare()
}
