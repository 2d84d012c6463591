package agentruntime

import (
	"bytes"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dop251/goja"
)

// classOf names the built-in class that a value belongs to, whatever its prototype says; empty for a plain value.
func classOf(v goja.Value) string {
	o, ok := v.(*goja.Object)
	if !ok {
		return ""
	}
	switch o.ExportType() {
	case typeProxy:
		return "Proxy"
	case typePromise:
		return "Promise"
	case typeArrayBuffer:
		return "ArrayBuffer"
	}
	return o.ClassName()
}

func init() {
	nodeNatives["classOf"] = func(r *realm, call goja.FunctionCall) goja.Value {
		if _, shared := nativeOf[*sharedBuffer](r, call.Argument(0)); shared {
			return r.rt.ToValue("SharedArrayBuffer")
		}
		return r.rt.ToValue(classOf(call.Argument(0)))
	}
	nodeNatives["sameBytes"] = func(r *realm, call goja.FunctionCall) goja.Value {
		a, _ := r.bytesOrShared(call.Argument(0))
		b, _ := r.bytesOrShared(call.Argument(1))
		return r.rt.ToValue(bytes.Equal(a, b))
	}
	// inspect(value, options, inspect) is util.inspect with all options there.
	nodeNatives["inspect"] = func(r *realm, call goja.FunctionCall) goja.Value {
		p := &inspector{r: r, custom: r.registered("nodejs.util.inspect.custom").(*goja.Symbol), inspect: call.Argument(2)}
		if o, ok := call.Argument(1).(*goja.Object); ok {
			p.options = o
			p.limit.depth = inspectLimit(o.Get("depth"), math.MaxInt32)
			p.limit.items = inspectLimit(o.Get("maxArrayLength"), inspectTotal)
			p.limit.text = inspectLimit(o.Get("maxStringLength"), math.MaxInt32)
			p.limit.width = inspectLimit(o.Get("breakLength"), math.MaxInt32)
			p.limit.flat = o.Get("compact") != nil && o.Get("compact").ExportType() == reflect.TypeFor[int64]()
			p.sorted = o.Get("sorted") != nil && o.Get("sorted").ToBoolean()
			p.hidden = o.Get("showHidden") != nil && o.Get("showHidden").ToBoolean()
			if v := o.Get("customInspect"); v != nil && !v.ToBoolean() {
				p.custom = nil
			}
		} else {
			p.limit = consoleLimit
		}
		return r.rt.ToValue(p.show(call.Argument(0), 0))
	}
}

// inspectLimit reads a limit of util.inspect: null and Infinity mean none.
func inspectLimit(v goja.Value, none int) int {
	if !some(v) {
		return none
	}
	f := v.ToFloat()
	if math.IsNaN(f) {
		return 0
	}
	return int(max(0, min(f, float64(none))))
}

// columns puts the items of a long array in rows, as Node.js does: about as many as make the whole two and a half times
// as wide as it is high.
func (p *inspector) columns(items []string, depth int) []string {
	extra := 0
	if strings.HasPrefix(items[len(items)-1], "... ") {
		extra = 1 // it stands on a line of its own
	}
	n := len(items) - extra
	total, widest := 0, 0
	widths := make([]int, n)
	for i, s := range items[:n] {
		widths[i] = utf8.RuneCountInString(s)
		total += widths[i] + 2
		widest = max(widest, widths[i])
	}
	cell := widest + 2
	indent := 2 * depth
	if cell*3+indent >= p.limit.width || float64(total)/float64(cell) <= 5 && widest > 6 {
		return items
	}
	bias := math.Sqrt(float64(cell) - float64(total)/float64(len(items)))
	biased := math.Max(float64(cell)-3-bias, 1)
	columns := int(min(math.Round(math.Sqrt(2.5*biased*float64(n))/biased), math.Floor(float64(p.limit.width-indent)/float64(cell)), 4*inspectCompact, 15))
	if columns <= 1 {
		return items
	}
	var most []int
	for i := range columns {
		line := 0
		for j := i; j < n; j += columns {
			line = max(line, widths[j])
		}
		most = append(most, line+2)
	}
	numbers := true
	for _, s := range items[:n] {
		if _, err := strconv.ParseFloat(strings.TrimSuffix(s, "n"), 64); err != nil {
			numbers = false
			break
		}
	}
	var rows []string
	for i := 0; i < n; i += columns {
		end := min(i+columns, n)
		var b strings.Builder
		for j := i; j < end; j++ {
			cell := items[j]
			if j < end-1 {
				cell += ", "
			}
			pad := most[j-i] - widths[j] - 2
			switch {
			case numbers:
				b.WriteString(strings.Repeat(" ", pad) + cell)
			case j < end-1:
				b.WriteString(cell + strings.Repeat(" ", pad))
			default:
				b.WriteString(cell)
			}
		}
		rows = append(rows, b.String())
	}
	return append(rows, items[n:]...)
}
