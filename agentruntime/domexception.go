package agentruntime

import (
	"github.com/dop251/goja"
)

// domError is the state of a DOMException (https://webidl.spec.whatwg.org/#idl-DOMException).
type domError struct{ name, message string }

// domCodes are the names with a legacy code, in the order of the codes; empty names have none left.
var domCodes = []string{
	"", "IndexSizeError", "", "HierarchyRequestError", "WrongDocumentError", "InvalidCharacterError", "",
	"NoModificationAllowedError", "NotFoundError", "NotSupportedError", "InUseAttributeError", "InvalidStateError",
	"SyntaxError", "InvalidModificationError", "NamespaceError", "InvalidAccessError", "", "TypeMismatchError",
	"SecurityError", "NetworkError", "AbortError", "URLMismatchError", "QuotaExceededError", "TimeoutError",
	"InvalidNodeTypeError", "DataCloneError",
}

// domConstants are the constants of the class, in the order of their values from 1.
var domConstants = []string{
	"INDEX_SIZE_ERR", "DOMSTRING_SIZE_ERR", "HIERARCHY_REQUEST_ERR", "WRONG_DOCUMENT_ERR", "INVALID_CHARACTER_ERR",
	"NO_DATA_ALLOWED_ERR", "NO_MODIFICATION_ALLOWED_ERR", "NOT_FOUND_ERR", "NOT_SUPPORTED_ERR", "INUSE_ATTRIBUTE_ERR",
	"INVALID_STATE_ERR", "SYNTAX_ERR", "INVALID_MODIFICATION_ERR", "NAMESPACE_ERR", "INVALID_ACCESS_ERR",
	"VALIDATION_ERR", "TYPE_MISMATCH_ERR", "SECURITY_ERR", "NETWORK_ERR", "ABORT_ERR", "URL_MISMATCH_ERR",
	"QUOTA_EXCEEDED_ERR", "TIMEOUT_ERR", "INVALID_NODE_TYPE_ERR", "DATA_CLONE_ERR",
}

func (e *domError) code() int {
	for i, name := range domCodes {
		if name != "" && name == e.name {
			return i
		}
	}
	return 0
}

func init() {
	var constants []member
	for i, name := range domConstants {
		constants = append(constants, member{name: name, value: i + 1})
	}
	(&webClass{
		name:       "DOMException",
		wrapsError: true,
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			e := &domError{name: "Error"}
			if v := call.Argument(0); given(v) {
				e.message = r.str(v)
			}
			options := call.Argument(1)
			if _, ok := options.(*goja.Object); ok {
				if v := optional(options, "name"); v != nil {
					e.name = r.str(v)
				}
				if v := optional(options, "cause"); v != nil {
					_ = call.This.DefineDataProperty("cause", v, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
				}
			} else if given(options) {
				e.name = r.str(options)
			}
			r.attach(call.This, e)
			// The stack is that of an Error made here.
			if stack := r.newError("Error", e.message).Get("stack"); some(stack) {
				_ = call.This.DefineDataProperty("stack", stack, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
			}
			return nil
		},
		members: append([]member{
			{name: "name", get: getter(func(r *realm, e *domError) goja.Value { return r.rt.ToValue(e.name) })},
			{name: "message", get: getter(func(r *realm, e *domError) goja.Value { return r.rt.ToValue(e.message) })},
			{name: "code", get: getter(func(r *realm, e *domError) goja.Value { return r.rt.ToValue(e.code()) })},
		}, constants...),
		statics: constants,
	}).declare()
}
