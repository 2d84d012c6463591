package agentruntime

import (
	"encoding/base64"
	"strings"

	"github.com/dop251/goja"
)

// atob and btoa (https://html.spec.whatwg.org/#atob).
func init() {
	declareFunction("btoa", 1, func(r *realm, call goja.FunctionCall) goja.Value {
		r.need(call, 1, "'btoa'")
		s := r.str(call.Argument(0))
		if isASCII(s) {
			return r.rt.ToValue(base64.StdEncoding.EncodeToString([]byte(s)))
		}
		data := make([]byte, 0, len(s))
		for _, c := range s {
			if c > 0xff {
				panic(r.domException("InvalidCharacterError", "btoa() can only operate on characters in the Latin1 (ISO/IEC 8859-1) range."))
			}
			data = append(data, byte(c))
		}
		return r.rt.ToValue(base64.StdEncoding.EncodeToString(data))
	})
	declareFunction("atob", 1, func(r *realm, call goja.FunctionCall) goja.Value {
		r.need(call, 1, "'atob'")
		data, ok := forgivingBase64(r.str(call.Argument(0)))
		if !ok {
			panic(r.domException("InvalidCharacterError", "atob() called with invalid base64-encoded data. (Only whitespace, '+', '/', alphanumeric ASCII, and up to two terminal '=' signs when the input data length is divisible by 4 are allowed.)"))
		}
		return r.fromBytes(string(data))
	})
}

// forgivingBase64 decodes as the Infra Standard says (https://infra.spec.whatwg.org/#forgiving-base64-decode).
func forgivingBase64(s string) ([]byte, bool) {
	if strings.ContainsAny(s, " \t\n\f\r") {
		s = strings.NewReplacer(" ", "", "\t", "", "\n", "", "\f", "", "\r", "").Replace(s)
	}
	if len(s)%4 == 0 {
		s = strings.TrimSuffix(s, "=")
		if len(s)%4 == 3 {
			s = strings.TrimSuffix(s, "=")
		}
	}
	if len(s)%4 == 1 || strings.IndexByte(s, '=') >= 0 {
		return nil, false
	}
	data, err := base64.RawStdEncoding.DecodeString(s)
	return data, err == nil
}
