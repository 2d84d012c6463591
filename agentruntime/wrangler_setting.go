package agentruntime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
	"github.com/tidwall/jsonc"
)

// setting is one value of a configuration file with the place it stands at.
type setting struct {
	// path names the value from the top of the file, as in kv_namespaces[0].id.
	path string
	// line and col count from 1; they are 0 for a value whose place is not known.
	line, col int
	// value is nil, a bool, a string, a json.Number, another plain value of TOML, a map[string]*setting or
	// a []*setting.
	value any
}

// maxSettingDepth is how deep the values of a configuration file may nest.
const maxSettingDepth = 64

// placedError is an error at a place of the file.
type placedError struct {
	line, col int
	text      string
}

func (e *placedError) Error() string { return e.text }

// settingsOfJSON parses JSON with comments and trailing commas.
func settingsOfJSON(data []byte) (*setting, error) {
	// ToJSON puts blanks for what it takes out, so offsets stay true.
	r := &jsonSettings{data: jsonc.ToJSON(data)}
	r.dec = json.NewDecoder(bytes.NewReader(r.data))
	r.dec.UseNumber()
	top, err := r.read("", 0)
	if err != nil {
		return nil, r.place(err)
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, r.place(errors.New("there is text after the end of the configuration"))
	}
	return top, nil
}

// jsonSettings reads one JSON document.
type jsonSettings struct {
	data []byte // without comments
	dec  *json.Decoder
}

func (r *jsonSettings) read(path string, depth int) (*setting, error) {
	line, col := r.next()
	if depth > maxSettingDepth {
		return nil, fmt.Errorf("values nest deeper than %d", maxSettingDepth)
	}
	token, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	s := &setting{path: path, line: line, col: col, value: token}
	switch token {
	case json.Delim('{'):
		s.value, err = r.object(path, depth)
	case json.Delim('['):
		items := []*setting{}
		for r.dec.More() {
			item, err := r.read(fmt.Sprintf("%s[%d]", path, len(items)), depth+1)
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
		s.value = items
		_, err = r.dec.Token()
	}
	return s, err
}

func (r *jsonSettings) object(path string, depth int) (map[string]*setting, error) {
	fields := map[string]*setting{}
	for r.dec.More() {
		line, col := r.next()
		token, err := r.dec.Token()
		if err != nil {
			return nil, err
		}
		key, ok := token.(string)
		if !ok {
			return nil, fmt.Errorf("%v stands where a key should", token)
		}
		if fields[key] != nil {
			return nil, &placedError{line, col, fmt.Sprintf("the key %q is given twice, first on line %d", joinPath(path, key), fields[key].line)}
		}
		field, err := r.read(joinPath(path, key), depth+1)
		if err != nil {
			return nil, err
		}
		field.line, field.col = line, col
		fields[key] = field
	}
	_, err := r.dec.Token()
	return fields, err
}

// next returns the place of the token that comes next.
func (r *jsonSettings) next() (line, col int) {
	offset := int(r.dec.InputOffset())
	for offset < len(r.data) && strings.IndexByte(" \t\r\n,:", r.data[offset]) >= 0 {
		offset++
	}
	return placeAt(r.data, offset)
}

// place gives an error of the decoder its place.
func (r *jsonSettings) place(err error) error {
	var placed *placedError
	if errors.As(err, &placed) {
		return placed
	}
	offset, text := int(r.dec.InputOffset()), err.Error()
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		offset = max(offset, int(syntax.Offset)-1)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		offset, text = len(r.data), "the file ends in the middle"
	}
	line, col := placeAt(r.data, offset)
	return &placedError{line, col, text}
}

// placeAt turns an offset into a line and a column of bytes, both from 1.
func placeAt(data []byte, offset int) (line, col int) {
	before := data[:min(offset, len(data))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

func joinPath(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// settingsOfTOML parses TOML. The values come from the parser that checks them, the places from a second pass.
func settingsOfTOML(data []byte) (*setting, error) {
	var values map[string]any
	if err := toml.Unmarshal(data, &values); err != nil {
		var bad *toml.DecodeError
		if errors.As(err, &bad) {
			line, col := bad.Position()
			return nil, &placedError{line, col, strings.TrimPrefix(bad.Error(), "toml: ")}
		}
		return nil, err
	}
	return settingOf(values, "", tomlPlaces(data)), nil
}

func settingOf(value any, path string, places map[string]unstable.Position) *setting {
	at := places[path]
	s := &setting{path: path, line: at.Line, col: at.Column, value: value}
	switch v := value.(type) {
	case map[string]any:
		fields := make(map[string]*setting, len(v))
		for key, field := range v {
			fields[key] = settingOf(field, joinPath(path, key), places)
		}
		s.value = fields
	case []any:
		items := make([]*setting, len(v))
		for i, item := range v {
			items[i] = settingOf(item, fmt.Sprintf("%s[%d]", path, i), places)
			if items[i].line == 0 {
				items[i].line, items[i].col = s.line, s.col
			}
		}
		s.value = items
	}
	return s
}

// tomlPlaces finds where each key of a valid document first stands.
func tomlPlaces(data []byte) map[string]unstable.Position {
	p := &tomlPass{places: map[string]unstable.Position{}, counts: map[string]int{}}
	p.parser.Reset(data)
	table := ""
	for p.parser.NextExpression() {
		e := p.parser.Expression()
		switch e.Kind {
		case unstable.Table:
			table = p.key("", e.Key())
		case unstable.ArrayTable:
			table = p.key("", e.Key())
			n := p.counts[table]
			p.counts[table]++
			at := p.places[table]
			if key := lastKey(e.Key()); key != nil {
				at = p.parser.Shape(key.Raw).Start
			}
			table = fmt.Sprintf("%s[%d]", table, n)
			p.mark(table, at)
		case unstable.KeyValue:
			p.value(p.key(table, e.Key()), e.Value())
		}
	}
	return p.places
}

// tomlPass is the second pass over a TOML document.
type tomlPass struct {
	parser unstable.Parser
	places map[string]unstable.Position
	// counts holds how many tables each array of tables has so far.
	counts map[string]int
}

func (p *tomlPass) mark(path string, at unstable.Position) {
	if _, ok := p.places[path]; !ok {
		p.places[path] = at
	}
}

// key marks each part of a dotted key below base and returns the path of the whole.
func (p *tomlPass) key(base string, keys unstable.Iterator) string {
	path := base
	for keys.Next() {
		// A part in the middle of a table's name that is an array of tables means the last of them.
		if n := p.counts[path]; n > 0 && path != "" {
			path = fmt.Sprintf("%s[%d]", path, n-1)
		}
		path = joinPath(path, string(keys.Node().Data))
		p.mark(path, p.parser.Shape(keys.Node().Raw).Start)
	}
	return path
}

func lastKey(keys unstable.Iterator) *unstable.Node {
	var last *unstable.Node
	for keys.Next() {
		last = keys.Node()
	}
	return last
}

// value marks what an inline value holds.
func (p *tomlPass) value(path string, node *unstable.Node) {
	children := node.Children()
	switch node.Kind {
	case unstable.InlineTable:
		for children.Next() {
			field := children.Node()
			p.value(p.key(path, field.Key()), field.Value())
		}
	case unstable.Array:
		at, i := p.places[path], 0
		for children.Next() {
			item := children.Node()
			if item.Kind == unstable.Comment {
				continue
			}
			itemPath := fmt.Sprintf("%s[%d]", path, i)
			if item.Raw.Length > 0 {
				at = p.parser.Shape(item.Raw).Start
			} else if item.Kind == unstable.InlineTable {
				if first := item.Child(); first != nil {
					if key := lastKey(first.Key()); key != nil {
						at = p.parser.Shape(key.Raw).Start
					}
				}
			}
			p.mark(itemPath, at)
			p.value(itemPath, item)
			i++
		}
	}
}

// kind names the type of a value for a message.
func (s *setting) kind() string {
	switch s.value.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case map[string]*setting:
		return "a table"
	case []*setting:
		return "a list"
	case json.Number, int64, float64:
		return "a number"
	}
	return "a date"
}

// plain returns the value as encoding/json writes it.
func (s *setting) plain() any {
	switch v := s.value.(type) {
	case map[string]*setting:
		fields := make(map[string]any, len(v))
		for key, field := range v {
			fields[key] = field.plain()
		}
		return fields
	case []*setting:
		items := make([]any, len(v))
		for i, item := range v {
			items[i] = item.plain()
		}
		return items
	}
	return s.value
}

// keys returns the names of a table's fields in the order of the file.
func (s *setting) keys() []string {
	fields, _ := s.value.(map[string]*setting)
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		x, y := fields[a], fields[b]
		if x.line != y.line {
			return x.line - y.line
		}
		if x.col != y.col {
			return x.col - y.col
		}
		return strings.Compare(a, b)
	})
	return names
}
