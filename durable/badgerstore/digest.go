package badgerstore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// digest sums up a set of records, whatever their order: the sum, modulo 2^64, of each record's element. It changes
// with each record that is added, removed or replaced, so it is kept up to date at the cost of what a write touches
// anyway. It finds records that a damaged disk loses or brings back, which no record's own checksum can.
type digest uint64

// element is what one record adds. Its envelope's checksum covers the value and what the value belongs to.
func element(key, envelope []byte) (digest, error) {
	if len(envelope) < envelopeBytes {
		return 0, fmt.Errorf("%w: %d bytes are no envelope", durable.ErrCorrupt, len(envelope))
	}
	x := uint64(crc32.Checksum(key, castagnoli))<<32 | uint64(binary.BigEndian.Uint32(envelope))
	// The finalizer of SplitMix64 (Steele, Lea, Flood, 2014), so that related records have unrelated elements.
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return digest(x ^ x>>31), nil
}

// elementOf is element for a stored item. key is what the element is of, as a part of the item's own key.
func elementOf(item *badger.Item, key []byte) (d digest, err error) {
	err = item.Value(func(envelope []byte) error {
		d, err = element(key, envelope)
		return err
	})
	return d, err
}

// totals count the records without which an actor would be gone without a trace: the namespaces and the metas.
// Each group writes them anew, so the newest timestamp of the database always has a record.
type totals struct {
	records int64
	digest  digest
}

const totalsBytes = 16

func (t totals) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(t.records))
	return binary.BigEndian.AppendUint64(b, uint64(t.digest))
}

func parseTotals(payload []byte) totals {
	return totals{records: int64(binary.BigEndian.Uint64(payload)), digest: digest(binary.BigEndian.Uint64(payload[8:]))}
}

func (t *totals) add(d digest) {
	t.records++
	t.digest += d
}

func (t *totals) remove(d digest) {
	t.records--
	t.digest -= d
}
