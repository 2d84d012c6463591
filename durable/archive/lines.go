package archive

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// The other form is text, for actors to be looked at, taken elsewhere and brought back: JSON, one object a line. The
// first says what it is, then comes each actor, followed by its entries, and at the end a line that says how much there was.
const (
	linesFormat  = "gatehouse actors"
	linesVersion = 1
	// maxLine is longer than any line: a value of 2 MiB in base64, and what it shows.
	maxLine = 32 << 20
)

// Line is one line. One of the groups is set.
type Line struct {
	Format  string `json:"format,omitempty"`
	Version int    `json:"version,omitempty"`

	Actor *LineActor `json:"actor,omitempty"`

	// An entry's key is text, or, where it is not UTF-8, in base64.
	Key       *string `json:"key,omitempty"`
	KeyBase64 *string `json:"key_base64,omitempty"`
	// Value is what is stored, in base64, and Shows what it means, for people.
	Value *string `json:"value,omitempty"`
	Shows string  `json:"shows,omitempty"`

	// Damaged is in place of an entry, or of all that is left of an actor, that could not be read.
	Damaged string `json:"damaged,omitempty"`

	End *LineEnd `json:"end,omitempty"`
}

// LineActor is an actor.
type LineActor = actor

// LineEnd says how much there was.
type LineEnd struct {
	Actors  int64 `json:"actors"`
	Entries int64 `json:"entries"`
	Damaged int64 `json:"damaged,omitempty"`
}

// Selection says which actors: those of a namespace, or all if it is empty; the one with ID, or all if that is nil.
type Selection struct {
	Namespace string
	ID        *durable.ID
	// SkipDamaged goes on after what cannot be read, with a line that says so, instead of failing.
	SkipDamaged bool
}

// Export writes actors as lines.
func Export(ctx context.Context, to io.Writer, from durable.Snapshot, which Selection) (LineEnd, error) {
	buf := bufio.NewWriterSize(to, 64<<10)
	x := &exporter{enc: json.NewEncoder(buf), from: from, which: which}
	x.enc.SetEscapeHTML(false)
	if err := x.run(ctx); err != nil {
		return x.end, err
	}
	return x.end, buf.Flush()
}

type exporter struct {
	enc   *json.Encoder
	from  durable.Snapshot
	which Selection
	end   LineEnd
}

func (x *exporter) run(ctx context.Context) error {
	if err := x.enc.Encode(Line{Format: linesFormat, Version: linesVersion}); err != nil {
		return err
	}
	if err := x.from.Whole(ctx); err != nil && !(x.which.SkipDamaged && errors.Is(err, durable.ErrCorrupt)) {
		return err
	}
	if x.which.ID != nil {
		a, found, err := x.from.Actor(ctx, durable.Key{Namespace: x.which.Namespace, ID: *x.which.ID})
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("archive: %s/%s stores nothing", x.which.Namespace, x.which.ID)
		}
		if err := x.actor(ctx, a); err != nil {
			return err
		}
		return x.enc.Encode(Line{End: &x.end})
	}
	for _, namespace := range x.from.Namespaces() {
		if x.which.Namespace != "" && x.which.Namespace != namespace {
			continue
		}
		for a, err := range x.from.Actors(ctx, namespace, nil) {
			if err == nil {
				err = x.actor(ctx, a)
			} else {
				err = x.skip(err)
			}
			if err != nil {
				return err
			}
		}
	}
	return x.enc.Encode(Line{End: &x.end})
}

// skip writes down what is damaged, or returns it.
func (x *exporter) skip(err error) error {
	if !x.which.SkipDamaged || !errors.Is(err, durable.ErrCorrupt) {
		return err
	}
	x.end.Damaged++
	return x.enc.Encode(Line{Damaged: err.Error()})
}

func (x *exporter) actor(ctx context.Context, a durable.Stored) error {
	described := toActor(a)
	if err := x.enc.Encode(Line{Actor: &described}); err != nil {
		return err
	}
	x.end.Actors++
	for e, err := range x.from.Entries(ctx, a.Key) {
		if err != nil {
			if err := x.skip(err); err != nil {
				return err
			}
			continue
		}
		value := base64.StdEncoding.EncodeToString(e.Value)
		line := Line{Value: &value}
		if utf8.ValidString(e.Key) {
			line.Key = &e.Key
		} else {
			key := base64.StdEncoding.EncodeToString([]byte(e.Key))
			line.KeyBase64 = &key
		}
		if err := x.enc.Encode(line); err != nil {
			return err
		}
		x.end.Entries++
	}
	return nil
}

// Entry returns a line's entry, and false if it is not one.
func (l *Line) Entry() (durable.Entry, bool, error) {
	if l.Value == nil {
		return durable.Entry{}, false, nil
	}
	value, err := base64.StdEncoding.DecodeString(*l.Value)
	if err != nil {
		return durable.Entry{}, false, fmt.Errorf("value: %w", err)
	}
	switch {
	case l.Key != nil:
		return durable.Entry{Key: *l.Key, Value: value}, true, nil
	case l.KeyBase64 != nil:
		key, err := base64.StdEncoding.DecodeString(*l.KeyBase64)
		if err != nil {
			return durable.Entry{}, false, fmt.Errorf("key_base64: %w", err)
		}
		return durable.Entry{Key: string(key), Value: value}, true, nil
	}
	return durable.Entry{}, false, errors.New("a value without a key")
}

// Stored returns what the line says of the actor.
func (a *actor) Stored() (durable.Stored, error) {
	s := durable.Stored{
		Key:   durable.Key{Namespace: a.Namespace},
		State: durable.State{Name: a.Name, Keys: a.Keys, Bytes: a.Bytes, Alarm: a.Alarm.alarm()},
	}
	if n, err := hex.Decode(s.Key.ID[:], []byte(a.ID)); err != nil || n != len(s.Key.ID) || len(a.ID) != 2*len(s.Key.ID) {
		return s, fmt.Errorf("%q is not an id", a.ID)
	}
	if a.Namespace == "" {
		return s, errors.New("an actor without a namespace")
	}
	return s, nil
}

// Lines reads lines, and checks that they are in order and complete. Damage and disorder are errors that name the line.
type Lines struct {
	scan   *bufio.Scanner
	number int
	end    LineEnd
	done   bool
}

// NewLines reads the first line.
func NewLines(from io.Reader) (*Lines, error) {
	l := &Lines{scan: bufio.NewScanner(from)}
	l.scan.Buffer(nil, maxLine)
	first, err := l.read()
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	if errors.Is(err, io.EOF) || errors.As(err, &syntax) || errors.As(err, &kind) || err == nil && first.Format != linesFormat {
		return nil, errors.New("archive: these are not exported actors")
	}
	if err != nil {
		return nil, err
	}
	if first.Version > linesVersion {
		return nil, fmt.Errorf("archive: the lines have version %d, this program reads up to %d; use the version that made them, or a newer one", first.Version, linesVersion)
	}
	return l, nil
}

// Head is the first line of such a file.
func (*Lines) Head() Line { return Line{Format: linesFormat, Version: linesVersion} }

// End says how much was read so far.
func (l *Lines) End() LineEnd { return l.end }

func (l *Lines) read() (Line, error) {
	var line Line
	if !l.scan.Scan() {
		if err := l.scan.Err(); err != nil {
			return line, fmt.Errorf("archive: line %d: %w", l.number+1, err)
		}
		return line, io.EOF
	}
	l.number++
	if err := json.Unmarshal(l.scan.Bytes(), &line); err != nil {
		return line, fmt.Errorf("archive: line %d: %w", l.number, err)
	}
	return line, nil
}

// Next returns the next line that is an actor, an entry or a damage, and io.EOF after a good end.
func (l *Lines) Next() (Line, error) {
	line, err := l.read()
	switch {
	case errors.Is(err, io.EOF) && !l.done:
		return line, fmt.Errorf("archive: the lines end after line %d without their end: the file is cut short", l.number)
	case err != nil:
		return line, err
	case l.done:
		return line, fmt.Errorf("archive: line %d: more follows after the end", l.number)
	case line.End != nil:
		if *line.End != l.end {
			return line, fmt.Errorf("archive: line %d: there were %+v, not %+v: lines are missing", l.number, l.end, *line.End)
		}
		l.done = true
		return l.Next()
	case line.Actor != nil:
		l.end.Actors++
	case line.Value != nil:
		l.end.Entries++
	case line.Damaged != "":
		l.end.Damaged++
	default:
		return line, fmt.Errorf("archive: line %d is neither an actor nor an entry", l.number)
	}
	return line, nil
}

// Import reads lines into a store. An actor that is there already is an error, unless replace is set. With to nil
// everything is checked and nothing is written. What was damaged when it was exported is left out.
func Import(ctx context.Context, to Store, from *Lines, replace bool) (LineEnd, error) {
	l := newLoader(to)
	line, err := from.Next()
	for err == nil {
		if line.Actor == nil {
			err = fmt.Errorf("archive: line %d: an entry before any actor", from.number)
			break
		}
		line, err = l.lines(ctx, line.Actor, from, replace)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return from.end, errors.Join(err, l.wait())
}

// lines imports one actor and returns the line after it.
func (l *loader) lines(ctx context.Context, described *actor, from *Lines, replace bool) (after Line, _ error) {
	at := from.number
	a, err := described.Stored()
	if err != nil {
		return after, fmt.Errorf("archive: line %d: %w", at, err)
	}
	var seen struct{ keys, bytes, damaged int64 }
	var end error
	next := func() (durable.Entry, bool, error) {
		for {
			if after, end = from.Next(); end != nil && !errors.Is(end, io.EOF) {
				return durable.Entry{}, false, end
			}
			if end == nil && after.Damaged != "" {
				seen.damaged++
				continue
			}
			break
		}
		if end != nil || after.Actor != nil {
			if seen.damaged == 0 && (seen.keys != a.State.Keys || seen.bytes != a.State.Bytes) {
				return durable.Entry{}, false, fmt.Errorf("archive: line %d: the actor has %d entries of %d bytes, and %d of %d bytes follow", at, a.State.Keys, a.State.Bytes, seen.keys, seen.bytes)
			}
			return durable.Entry{}, false, nil
		}
		e, _, err := after.Entry()
		if err == nil {
			err = errors.Join(durable.CheckKey(e.Key), durable.CheckValue(e.Value))
		}
		if err != nil {
			return durable.Entry{}, false, fmt.Errorf("archive: line %d: %w", from.number, err)
		}
		seen.keys++
		seen.bytes += int64(len(e.Key) + len(e.Value))
		return e, true, nil
	}
	if l.to == nil {
		for more := true; more; {
			if _, more, err = next(); err != nil {
				return after, err
			}
		}
	} else if err := l.actor(ctx, a, next, replace); err != nil {
		return after, err
	}
	return after, end
}
