package agentruntime

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"slices"
	"strings"

	"github.com/dop251/goja"
)

// formPartLimit is the most parts that a multipart form may have.
const formPartLimit = 10_000

// formData is the state of a FormData (https://xhr.spec.whatwg.org/#interface-formdata).
type formData struct{ list []formEntry }

// formEntry is one entry: a text, or a file, whose File object is made once.
type formEntry struct {
	name string
	text string
	file *blob
	obj  *goja.Object
}

func (e *formEntry) value(r *realm) goja.Value {
	if e.file == nil {
		return r.rt.ToValue(e.text)
	}
	if e.obj == nil {
		e.obj = r.blobValue(e.file)
	}
	return e.obj
}

var errForm = errors.New("the body is not a form: its Content-Type must be multipart/form-data or application/x-www-form-urlencoded")

// parseForm parses the body of a request by its Content-Type.
func parseForm(data []byte, contentType string) (*formData, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, errForm
	}
	f := &formData{}
	switch kind {
	case "application/x-www-form-urlencoded":
		for _, p := range parseParams(string(data)) {
			f.list = append(f.list, formEntry{name: p.name, text: p.value})
		}
		return f, nil
	case "multipart/form-data":
		if params["boundary"] == "" {
			return nil, errors.New("the multipart body has no boundary in its Content-Type")
		}
		return f, f.parseMultipart(multipart.NewReader(bytes.NewReader(data), params["boundary"]))
	}
	return nil, errForm
}

func (f *formData) parseMultipart(mr *multipart.Reader) error {
	for {
		part, err := mr.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("parse the multipart body: %w", err)
		}
		if len(f.list) == formPartLimit {
			return errors.New("the multipart body has too many parts")
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return fmt.Errorf("parse the multipart body: %w", err)
		}
		_, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		name, named := params["name"]
		if err != nil || !named {
			return errors.New("parse the multipart body: a part has no name")
		}
		entry := formEntry{name: validUTF8(name)}
		if filename, ok := params["filename"]; ok {
			contentType := part.Header.Get("Content-Type")
			if contentType == "" {
				contentType = "text/plain"
			}
			entry.file = &blob{data: data, contentType: contentType, name: validUTF8(filename), isFile: true}
		} else {
			entry.text = decodeUTF8(data)
		}
		f.list = append(f.list, entry)
	}
}

// escapeName escapes a name in a Content-Disposition (https://html.spec.whatwg.org/#multipart-form-data).
var escapeName = strings.NewReplacer("\r\n", "%0D%0A", "\n", "%0D%0A", "\r", "%0D%0A", `"`, "%22")

// escapeFile is escapeName for names of files, whose line breaks stay what they are.
var escapeFile = strings.NewReplacer("\n", "%0A", "\r", "%0D", `"`, "%22")

var normalLines = strings.NewReplacer("\r\n", "\r\n", "\n", "\r\n", "\r", "\r\n")

// encode writes the entries as multipart/form-data.
func (f *formData) encode() (data []byte, contentType string) {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:])
	boundary := "----formdata-" + hex.EncodeToString(nonce[:])
	var b bytes.Buffer
	for i := range f.list {
		e := &f.list[i]
		b.WriteString("--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + escapeName.Replace(e.name) + "\"")
		if e.file == nil {
			b.WriteString("\r\n\r\n" + normalLines.Replace(e.text) + "\r\n")
			continue
		}
		kind := orElse(e.file.contentType, "application/octet-stream")
		b.WriteString("; filename=\"" + escapeFile.Replace(e.file.name) + "\"\r\nContent-Type: " + kind + "\r\n\r\n")
		b.Write(e.file.data)
		b.WriteString("\r\n")
	}
	b.WriteString("--" + boundary + "--\r\n")
	return b.Bytes(), "multipart/form-data; boundary=" + boundary
}

// formPairs iterates over a formData.
type formPairs struct {
	r *realm
	f *formData
}

func (s formPairs) pair(i int) (name, value goja.Value, ok bool) {
	if i >= len(s.f.list) {
		return nil, nil, false
	}
	return s.r.rt.ToValue(s.f.list[i].name), s.f.list[i].value(s.r), true
}

// formEntryOf makes an entry of the arguments of append and set.
func (r *realm) formEntryOf(call goja.FunctionCall, what string) formEntry {
	r.need(call, 2, what)
	e := formEntry{name: r.str(call.Argument(0))}
	b, ok := nativeOf[*blob](r, call.Argument(1))
	if !ok {
		if given(call.Argument(2)) {
			panic(r.typeError("Failed to execute " + what + ": parameter 2 is not of type 'Blob'."))
		}
		e.text = r.str(call.Argument(1))
		return e
	}
	file := *b
	if !file.isFile {
		file.name, file.isFile, file.modified = "blob", true, r.now()
	} else {
		e.obj = call.Argument(1).(*goja.Object)
	}
	if v := call.Argument(2); given(v) {
		file.name, e.obj = r.str(v), nil
	}
	e.file = &file
	return e
}

func init() {
	named := func(r *realm, call goja.FunctionCall) func(e formEntry) bool {
		name := r.str(call.Argument(0))
		return func(e formEntry) bool { return e.name == name }
	}
	(&webClass{
		name: "FormData",
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			if given(call.Argument(0)) {
				panic(r.typeError("Failed to construct 'FormData': parameter 1 is not of type 'HTMLFormElement'."))
			}
			r.attach(call.This, &formData{})
			return nil
		},
		iterator: "entries",
		members: append([]member{
			{name: "append", length: 2, call: method(func(r *realm, f *formData, call goja.FunctionCall) goja.Value {
				f.list = append(f.list, r.formEntryOf(call, "'append' on 'FormData'"))
				return goja.Undefined()
			})},
			{name: "delete", length: 1, call: method(func(r *realm, f *formData, call goja.FunctionCall) goja.Value {
				f.list = slices.DeleteFunc(f.list, named(r, call))
				return goja.Undefined()
			})},
			{name: "get", length: 1, call: method(func(r *realm, f *formData, call goja.FunctionCall) goja.Value {
				if i := slices.IndexFunc(f.list, named(r, call)); i >= 0 {
					return f.list[i].value(r)
				}
				return goja.Null()
			})},
			{name: "getAll", length: 1, call: method(func(r *realm, f *formData, call goja.FunctionCall) goja.Value {
				match, found := named(r, call), []any{}
				for i := range f.list {
					if match(f.list[i]) {
						found = append(found, f.list[i].value(r))
					}
				}
				return r.rt.NewArray(found...)
			})},
			{name: "has", length: 1, call: method(func(r *realm, f *formData, call goja.FunctionCall) goja.Value {
				return r.rt.ToValue(slices.ContainsFunc(f.list, named(r, call)))
			})},
			{name: "set", length: 2, call: method(func(r *realm, f *formData, call goja.FunctionCall) goja.Value {
				e, match := r.formEntryOf(call, "'set' on 'FormData'"), named(r, call)
				i := slices.IndexFunc(f.list, match)
				if i < 0 {
					f.list = append(f.list, e)
					return goja.Undefined()
				}
				f.list[i] = e
				rest := slices.DeleteFunc(f.list[i+1:], match)
				f.list = f.list[:i+1+len(rest)]
				return goja.Undefined()
			})},
		}, pairMethods("FormData", func(r *realm, f *formData) pairSource { return formPairs{r, f} })...),
	}).declare()
}
