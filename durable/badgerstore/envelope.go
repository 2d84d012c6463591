package badgerstore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// Every stored value is an envelope: CRC32C (4) payload. The checksum covers what the value belongs to (its
// actor and key, or its database key), the payload, and the kind, which Badger keeps beside the value.
const envelopeBytes = 4

// Kinds of values.
const (
	kindWhole byte = 1 // the payload is the value
	kindHead  byte = 2 // the payload is a chunkHead
	kindChunk byte = 3 // the payload is a part of a value
	kindMeta  byte = 4
	kindFact  byte = 5 // boot epoch, namespace, alarm index, garbage
)

// chunkBytes is the largest payload stored in one piece: it stays below Badger's value threshold, so that user
// data never enters the value log.
const chunkBytes = 256 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal appends an envelope. binding is the checksum of what the value belongs to.
func seal(b []byte, binding uint32, kind byte, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, checksum(binding, kind, payload))
	return append(b, payload...)
}

// unseal returns an envelope's payload.
func unseal(envelope []byte, binding uint32, kind byte) ([]byte, error) {
	if len(envelope) < envelopeBytes {
		return nil, fmt.Errorf("%w: %d bytes are no envelope", durable.ErrCorrupt, len(envelope))
	}
	payload := envelope[envelopeBytes:]
	if binary.BigEndian.Uint32(envelope) != checksum(binding, kind, payload) {
		return nil, fmt.Errorf("%w: checksum mismatch", durable.ErrCorrupt)
	}
	return payload, nil
}

func checksum(binding uint32, kind byte, payload []byte) uint32 {
	return crc32.Update(crc32.Update(binding, castagnoli, payload), castagnoli, kinds[kind:int(kind)+1])
}

// kinds holds each kind as a one-byte slice, which spares an allocation for each checksum.
var kinds = func() (k [256]byte) {
	for i := range k {
		k[i] = byte(i)
	}
	return k
}()

func bind(binding uint32, b []byte) uint32 { return crc32.Update(binding, castagnoli, b) }

// chunkHead tells where a chunked value's parts are.
type chunkHead struct {
	size   int    // of the value
	chunks uint64 // number of the chunks within the actor's space
}

const chunkHeadBytes = 12

func (h chunkHead) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(h.size))
	return binary.BigEndian.AppendUint64(b, h.chunks)
}

func (h chunkHead) count() int { return (h.size + chunkBytes - 1) / chunkBytes }

func parseChunkHead(payload []byte) (chunkHead, error) {
	if len(payload) != chunkHeadBytes {
		return chunkHead{}, fmt.Errorf("%w: chunk head of %d bytes", durable.ErrCorrupt, len(payload))
	}
	h := chunkHead{size: int(binary.BigEndian.Uint32(payload)), chunks: binary.BigEndian.Uint64(payload[4:])}
	if h.size <= chunkBytes || h.size > durable.MaxValueBytes {
		return chunkHead{}, fmt.Errorf("%w: chunked value of %d bytes", durable.ErrCorrupt, h.size)
	}
	return h, nil
}
