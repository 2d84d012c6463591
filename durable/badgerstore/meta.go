package badgerstore

import (
	"encoding/binary"
	"fmt"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// meta is what the store keeps of an actor beside its keys. Each commit of the actor writes it anew.
type meta struct {
	space   uint64 // 0: none yet
	seq     uint64
	epoch   uint64 // of the fence that committed last
	keys    int64
	bytes   int64
	due     int64 // the alarm's times in milliseconds, 0: no alarm
	planned int64
	digest  digest // of the actor's keys
	retries uint32
	name    string
}

const (
	metaVersion    = 2
	metaFixedBytes = 1 + 8*8 + 4
)

// empty reports whether the actor stores nothing, so that no meta is kept.
func (m *meta) empty() bool { return m.keys == 0 && m.due == 0 }

func (m *meta) append(b []byte) []byte {
	b = append(b, metaVersion)
	for _, n := range [...]uint64{m.space, m.seq, m.epoch, uint64(m.keys), uint64(m.bytes), uint64(m.due), uint64(m.planned), uint64(m.digest)} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = binary.BigEndian.AppendUint32(b, m.retries)
	return append(b, m.name...)
}

func parseMeta(b []byte) (meta, error) {
	if len(b) < metaFixedBytes || b[0] != metaVersion {
		return meta{}, fmt.Errorf("%w: meta of %d bytes", durable.ErrCorrupt, len(b))
	}
	field := func(i int) uint64 { return binary.BigEndian.Uint64(b[1+8*i:]) }
	return meta{
		space: field(0), seq: field(1), epoch: field(2),
		keys: int64(field(3)), bytes: int64(field(4)),
		due: int64(field(5)), planned: int64(field(6)),
		digest:  digest(field(7)),
		retries: binary.BigEndian.Uint32(b[1+8*8:]),
		name:    string(b[metaFixedBytes:]),
	}, nil
}

func (m *meta) setAlarm(a durable.Alarm) {
	m.due, m.planned, m.retries = toMillis(a.At), toMillis(a.Scheduled), uint32(a.Retries)
}

// state returns what the actor is told of itself.
func (m *meta) state() durable.State {
	return durable.State{
		Name:  m.name,
		Seq:   m.seq,
		Alarm: durable.Alarm{At: fromMillis(m.due), Scheduled: fromMillis(m.planned), Retries: int(m.retries)},
		Keys:  m.keys,
		Bytes: m.bytes,
	}
}
