package wire

import (
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// maxOps is the most writes of one batch.
const maxOps = 1 << 20

func (e *Encoder) Alarm(a durable.Alarm) {
	e.Time(a.At)
	e.Time(a.Scheduled)
	e.Int(int64(a.Retries))
}

func (d *Decoder) Alarm() durable.Alarm {
	return durable.Alarm{At: d.Time(), Scheduled: d.Time(), Retries: int(d.Int())}
}

func (e *Encoder) State(s durable.State) {
	e.String(s.Name)
	e.Uint(s.Seq)
	e.Alarm(s.Alarm)
	e.Int(s.Keys)
	e.Int(s.Bytes)
	e.Int(int64(s.MaxBatch))
}

func (d *Decoder) State() durable.State {
	return durable.State{Name: d.String(), Seq: d.Uint(), Alarm: d.Alarm(), Keys: d.Int(), Bytes: d.Int(), MaxBatch: int(d.Int())}
}

// Batch leaves the fence and the name out: both are the gateway's to add.
func (e *Encoder) Batch(b durable.Batch) {
	e.Uint(b.Seq)
	e.Bool(b.DeleteAll)
	e.Uint(uint64(len(b.Ops)))
	for _, op := range b.Ops {
		e.String(op.Key)
		e.Bool(op.Delete)
		if !op.Delete {
			e.Bytes(op.Value)
		}
	}
	if e.Bool(b.Alarm != nil); b.Alarm != nil {
		e.Alarm(*b.Alarm)
	}
	e.Bool(b.Name != "")
}

// Batch reads a batch and whether it is the one that keeps the actor's name, and holds it to what a batch may be.
func (d *Decoder) Batch() (b durable.Batch, named bool) {
	b = durable.Batch{Seq: d.Uint(), DeleteAll: d.Bool()}
	if b.Seq == 0 {
		d.fail("a batch without a place in the order")
	}
	n := d.count(maxOps)
	var keys map[string]struct{}
	if n > 1 {
		keys = make(map[string]struct{}, n)
	}
	b.Ops = make([]durable.Op, 0, min(n, 1024))
	for range n {
		op := durable.Op{Key: d.String(), Delete: d.Bool()}
		if !op.Delete {
			if op.Value = d.Bytes(); op.Value == nil {
				d.fail("a write of nothing")
			}
		}
		if d.err != nil {
			return b, false
		}
		if err := durable.CheckKey(op.Key); err != nil {
			d.fail("%v", err)
		} else if err := durable.CheckValue(op.Value); err != nil {
			d.fail("%v", err)
		}
		if keys != nil {
			if _, twice := keys[op.Key]; twice {
				d.fail("a batch that writes a key twice")
			}
			keys[op.Key] = struct{}{}
		}
		b.Ops = append(b.Ops, op)
	}
	if d.Bool() {
		a := d.Alarm()
		if a.Retries < 0 || !a.At.IsZero() && (a.At.Before(time.Unix(0, 0)) || a.At.UnixMilli() > 8.64e15+1e12) {
			d.fail("an alarm at no time")
		}
		b.Alarm = &a
	}
	return b, d.Bool()
}

func (e *Encoder) Range(r durable.Range) {
	e.String(r.Start)
	e.String(r.StartAfter)
	e.String(r.End)
	e.String(r.Prefix)
	e.Bool(r.Reverse)
	e.Int(int64(r.Limit))
}

func (d *Decoder) Range() durable.Range {
	r := durable.Range{Start: d.String(), StartAfter: d.String(), End: d.String(), Prefix: d.String(), Reverse: d.Bool(), Limit: int(d.Int())}
	if d.err == nil {
		if err := r.Validate(); err != nil {
			d.fail("%v", err)
		}
	}
	return r
}

func (e *Encoder) Entries(list []durable.Entry) {
	e.Uint(uint64(len(list)))
	for _, x := range list {
		e.String(x.Key)
		e.Bytes(x.Value)
	}
}

func (d *Decoder) Entries() []durable.Entry {
	var list []durable.Entry
	for range d.count(maxOps) {
		list = append(list, durable.Entry{Key: d.String(), Value: d.Bytes()})
	}
	return list
}

// Values keeps absent ones, nil, apart from empty ones.
func (e *Encoder) Values(list [][]byte) {
	e.Uint(uint64(len(list)))
	for _, v := range list {
		e.Bytes(v)
	}
}

func (d *Decoder) Values() [][]byte {
	list := make([][]byte, 0, 1)
	for range d.count(maxOps) {
		list = append(list, d.Bytes())
	}
	return list
}
