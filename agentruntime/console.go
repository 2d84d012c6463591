package agentruntime

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dop251/goja"
)

// consoleLevels are the methods that log, with the level each has.
var consoleLevels = map[string]string{
	"debug": "debug", "info": "info", "log": "log", "warn": "warn", "error": "error", "trace": "debug", "dir": "log", "table": "log",
}

// counters is the state of console.count and console.time.
type counters struct {
	counts map[string]int
	timers map[string]time.Time
	indent int
}

func init() {
	globals["console"] = func(r *realm) goja.Value {
		c := &counters{counts: map[string]int{}, timers: map[string]time.Time{}}
		return r.lazy(func(name string) goja.Value { return r.consoleMethod(c, name) },
			"debug", "info", "log", "warn", "error", "trace", "dir", "table", "assert", "group", "groupCollapsed",
			"groupEnd", "count", "countReset", "time", "timeLog", "timeEnd", "clear")
	}
}

// consoleMethod makes one method of console (https://console.spec.whatwg.org/).
func (r *realm) consoleMethod(c *counters, name string) goja.Value {
	level, plain := consoleLevels[name]
	log := func(level, msg string) {
		r.current().log(level, strings.Repeat("  ", c.indent)+msg)
	}
	label := func(call goja.FunctionCall) string {
		if v := call.Argument(0); !goja.IsUndefined(v) {
			return r.text(v)
		}
		return "default"
	}
	var f func(call goja.FunctionCall)
	switch {
	case name == "dir":
		f = func(call goja.FunctionCall) { log("log", r.inspect(call.Argument(0))) }
	case plain:
		f = func(call goja.FunctionCall) {
			if inv := r.current(); inv.logged < inv.limits.Logs {
				log(level, r.format(call.Arguments))
			} else {
				inv.dropped++
			}
		}
	case name == "assert":
		f = func(call goja.FunctionCall) {
			if !call.Argument(0).ToBoolean() {
				msg := "Assertion failed"
				if len(call.Arguments) > 1 {
					msg += ": " + r.format(call.Arguments[1:])
				}
				log("error", msg)
			}
		}
	case name == "group", name == "groupCollapsed":
		f = func(call goja.FunctionCall) {
			if len(call.Arguments) > 0 {
				log("log", r.format(call.Arguments))
			}
			c.indent = min(c.indent+1, 32)
		}
	case name == "groupEnd":
		f = func(goja.FunctionCall) { c.indent = max(c.indent-1, 0) }
	case name == "count":
		f = func(call goja.FunctionCall) {
			c.counts[label(call)]++
			log("log", label(call)+": "+strconv.Itoa(c.counts[label(call)]))
		}
	case name == "countReset":
		f = func(call goja.FunctionCall) { delete(c.counts, label(call)) }
	case name == "time":
		f = func(call goja.FunctionCall) { c.timers[label(call)] = r.agent.now() }
	case name == "timeLog", name == "timeEnd":
		f = func(call goja.FunctionCall) {
			at, ok := c.timers[label(call)]
			if !ok {
				log("warn", "No such label '"+label(call)+"' for console."+name+"()")
				return
			}
			msg := fmt.Sprintf("%s: %gms", label(call), float64(r.agent.now().Sub(at).Microseconds())/1000)
			if len(call.Arguments) > 1 {
				msg += " " + r.format(call.Arguments[1:])
			}
			log("log", msg)
			if name == "timeEnd" {
				delete(c.timers, label(call))
			}
		}
	case name == "clear":
		f = func(goja.FunctionCall) {}
	default:
		return nil
	}
	return r.function(name, 0, func(_ *realm, call goja.FunctionCall) goja.Value {
		f(call)
		return goja.Undefined()
	})
}

// log hands a line over, unless the invocation has logged as much as it may.
func (inv *Invocation) log(level, msg string) {
	if inv.logged+len(msg) > inv.limits.Logs {
		inv.logged = inv.limits.Logs
		inv.dropped++
		return
	}
	inv.logged += len(msg)
	inv.hosted.Emit(Event{Log: &Log{Time: inv.r.agent.now(), Level: level, Message: msg}})
}

// format joins the arguments of a console method, after the format specifiers of the first.
func (r *realm) format(args []goja.Value) string {
	var b strings.Builder
	if len(args) > 1 {
		if s, ok := args[0].(goja.String); ok && strings.Contains(s.String(), "%") {
			args = r.substitute(&b, s.String(), args[1:])
			if len(args) > 0 {
				b.WriteByte(' ')
			}
		}
	}
	for i, v := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		if s, ok := v.(goja.String); ok {
			b.WriteString(s.String())
		} else {
			b.WriteString(r.inspect(v))
		}
	}
	return b.String()
}

// substitute writes format with its specifiers replaced and returns the arguments that none of them took.
func (r *realm) substitute(b *strings.Builder, format string, args []goja.Value) []goja.Value {
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		verb := format[i+1]
		if verb == '%' {
			b.WriteByte('%')
			i++
			continue
		}
		if !strings.ContainsRune("sdifjoOc", rune(verb)) || len(args) == 0 {
			b.WriteByte('%')
			continue
		}
		v := args[0]
		args = args[1:]
		i++
		switch verb {
		case 's':
			if _, ok := v.(*goja.Object); ok {
				b.WriteString(r.inspect(v))
			} else {
				b.WriteString(r.text(v))
			}
		case 'd', 'i', 'f':
			b.WriteString(r.numberText(v, verb))
		case 'c':
		default:
			b.WriteString(r.inspect(v))
		}
	}
	return args
}

func (r *realm) numberText(v goja.Value, verb byte) (s string) {
	if _, ok := v.(*goja.Object); ok {
		return "NaN"
	}
	if _, ok := v.(*goja.Symbol); ok {
		return "NaN"
	}
	if ex := r.rt.Try(func() {
		n := v.ToNumber()
		if verb == 'i' && !goja.IsNaN(n) && !goja.IsInfinity(n) {
			n = r.rt.ToValue(n.ToInteger())
		}
		s = n.String()
	}); ex != nil {
		return "NaN"
	}
	return s
}
