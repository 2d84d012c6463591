package agentruntime

import (
	"reflect"
	"strconv"

	"github.com/dop251/goja"

	"github.com/gatehouse-edge/gatehouse/durable/sqlite"
)

// The classes of ctx.storage.sql (https://developers.cloudflare.com/durable-objects/api/sqlite-storage-api/). They are no
// globals.
const (
	sqlStorageClass = "SqlStorage"
	sqlCursorClass  = "SqlStorageCursor"
	sqlRawClass     = "SqlStorageRawIterator"
)

func init() {
	for _, c := range []*webClass{
		{name: sqlStorageClass, members: []member{
			{name: "exec", length: 1, call: method(sqlExec)},
			{name: "databaseSize", get: getter(func(r *realm, s *storageFace) goja.Value {
				size, err := s.x.db.Size(s.ctx())
				r.sqlCheck(err)
				return r.rt.ToValue(size)
			})},
		}},
		{name: sqlCursorClass, members: []member{
			{name: "next", call: method(func(r *realm, c *sqlCursor, _ goja.FunctionCall) goja.Value { return r.step(c.object()) })},
			{name: "toArray", call: method(func(r *realm, c *sqlCursor, _ goja.FunctionCall) goja.Value { return c.all(c.object) })},
			{name: "one", call: method(func(r *realm, c *sqlCursor, _ goja.FunctionCall) goja.Value { return c.one() })},
			{name: "raw", call: method(func(r *realm, c *sqlCursor, _ goja.FunctionCall) goja.Value {
				return r.iterator(sqlRawClass, &sqlRaw{c})
			})},
			{name: "columnNames", get: getter(func(r *realm, c *sqlCursor) goja.Value {
				names := make([]any, len(c.names))
				for i, name := range c.names {
					names[i] = name
				}
				return r.rt.NewArray(names...)
			})},
			{name: "rowsRead", get: getter(func(r *realm, c *sqlCursor) goja.Value { return r.rt.ToValue(c.cursor.RowsRead()) })},
			{name: "rowsWritten", get: getter(func(r *realm, c *sqlCursor) goja.Value { return r.rt.ToValue(c.cursor.RowsWritten()) })},
		}},
		{name: sqlRawClass, members: []member{
			{name: "next", call: method(func(r *realm, c *sqlRaw, _ goja.FunctionCall) goja.Value { return r.step(c.array()) })},
			{name: "toArray", call: method(func(r *realm, c *sqlRaw, _ goja.FunctionCall) goja.Value { return c.all(c.array) })},
		}},
	} {
		webClasses[c.name] = &madeClass{webClass: c, proto: tableOf(c.members)}
	}
}

// sql is ctx.storage.sql.
func (s *storageFace) sql() goja.Value {
	s.r.meter.onInterrupt(s.x.db.Interrupt)
	return s.r.instance(sqlStorageClass, s)
}

// iterator makes an instance of a class that is its own iterator.
func (r *realm) iterator(class string, state any) goja.Value {
	if proto := r.classPrototype(class); proto.GetSymbol(goja.SymIterator) == nil {
		itself := r.function("[Symbol.iterator]", 0, func(_ *realm, call goja.FunctionCall) goja.Value { return call.This })
		_ = proto.DefineDataPropertySymbol(goja.SymIterator, itself, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
	return r.instance(class, state)
}

// sqlCheck throws what a statement failed with.
func (r *realm) sqlCheck(err error) {
	if err != nil {
		r.throw(err)
	}
}

func sqlExec(r *realm, s *storageFace, call goja.FunctionCall) goja.Value {
	r.need(call, 1, "exec")
	s.counts().SQL++
	text := r.str(call.Argument(0))
	var bindings []any
	if len(call.Arguments) > 1 {
		bindings = make([]any, len(call.Arguments)-1)
		for i, v := range call.Arguments[1:] {
			bindings[i] = r.sqlBinding(i+1, v)
		}
	}
	cursor, err := s.x.db.Exec(s.ctx(), text, bindings)
	r.sqlCheck(err)
	return r.iterator(sqlCursorClass, &sqlCursor{r: r, s: s, cursor: cursor, names: cursor.Columns()})
}

// sqlBinding converts one value that is bound. A number is always a double, as in Workers: a column's affinity makes an
// integer of it.
func (r *realm) sqlBinding(n int, v goja.Value) any {
	if goja.IsUndefined(v) || goja.IsNull(v) {
		return nil
	}
	if o, ok := v.(*goja.Object); ok {
		if data, ok := r.bytesOf(o); ok {
			return append([]byte{}, data...)
		}
		switch o.ClassName() {
		case "String", "Number", "Boolean", "Date":
			return r.str(o)
		}
		panic(r.typeError("the value bound to parameter " + strconv.Itoa(n) + " is an object; bind null, a number, a string, an ArrayBuffer or a view of one, and turn other things into one of these, for example with JSON.stringify()"))
	}
	if t := v.ExportType(); t != nil && (t.Kind() == reflect.Int64 || t.Kind() == reflect.Float64) {
		return v.ToFloat()
	}
	return r.str(v)
}

// sqlCursor is the face of a cursor.
type sqlCursor struct {
	r      *realm
	s      *storageFace
	cursor *sqlite.Cursor
	names  []string
}

// sqlRaw reads the same rows as arrays.
type sqlRaw struct{ *sqlCursor }

// row returns the next row, nil at the end.
func (c *sqlCursor) row() []any {
	row, err := c.cursor.Next(c.s.ctx())
	c.r.sqlCheck(err)
	return row
}

func (c *sqlCursor) value(v any) goja.Value {
	switch v := v.(type) {
	case nil:
		return goja.Null()
	case []byte:
		return c.r.arrayBuffer(v)
	case int64:
		return c.r.rt.ToValue(float64(v)) // loses digits above 2^53, as in Workers
	default:
		return c.r.rt.ToValue(v)
	}
}

// object returns the next row as an object, nil at the end.
func (c *sqlCursor) object() goja.Value {
	row := c.row()
	if row == nil {
		return nil
	}
	o := c.r.rt.NewObject()
	for i, name := range c.names {
		_ = o.DefineDataProperty(name, c.value(row[i]), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE)
	}
	return o
}

// array returns the next row as an array, nil at the end.
func (c *sqlCursor) array() goja.Value {
	row := c.row()
	if row == nil {
		return nil
	}
	values := make([]any, len(row))
	for i, v := range row {
		values[i] = c.value(v)
	}
	return c.r.rt.NewArray(values...)
}

func (c *sqlCursor) all(next func() goja.Value) goja.Value {
	var list []any
	for v := next(); v != nil; v = next() {
		list = append(list, v)
	}
	return c.r.rt.NewArray(list...)
}

func (c *sqlCursor) one() goja.Value {
	v := c.object()
	if v == nil {
		panic(c.r.newError("Error", "Expected exactly one result from SQL query, but got no results."))
	}
	if !c.cursor.Done() {
		panic(c.r.newError("Error", "Expected exactly one result from SQL query, but got multiple results."))
	}
	return v
}

// step makes what an iterator's next returns; v is nil at the end.
func (r *realm) step(v goja.Value) goja.Value {
	o := r.rt.NewObject()
	_ = o.Set("done", v == nil)
	if v != nil {
		_ = o.Set("value", v)
	}
	return o
}
