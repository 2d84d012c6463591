package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A frame is a header and a payload. The header has the payload's length (4 bytes, little endian), the kind (1 byte) and
// the number of the exchange (8 bytes, little endian; 0 for what belongs to none).
const headerSize = 13

// MaxPayload is the largest payload of a frame in bytes: the largest argument of a call, 32 MiB, with what surrounds it.
const MaxPayload = 33 << 20

// kind is what a frame is.
type kind uint8

const (
	kindOpen   kind = 1 + iota // begins an exchange: the operation (1 byte) and its message
	kindAnswer                 // the answer's message
	kindNote                   // the note's kind (1 byte) and its message
	kindData                   // bytes of the sender's stream
	kindEnd                    // the sender's stream has ended: an error, or nothing for a good end
	kindWindow                 // so many bytes more (4 bytes) may be sent
	kindStop                   // the rest of the stream is not wanted
	kindCancel                 // the answer is not wanted any more: the reason
	kindLimit                  // the number that no kind reaches
)

// errMalformed is the error for what the other side must not send. It ends the connection.
var errMalformed = errors.New("malformed")

// Malformed makes the error that a receiver returns for a message that the other side must not send.
func Malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errMalformed}, args...)...)
}

// IsMalformed reports whether a connection was ended for what the other side sent.
func IsMalformed(err error) bool { return errors.Is(err, errMalformed) }

// header is a frame's header.
type header struct {
	size int
	kind kind
	id   uint64
}

// parseHeader reads a header; b has headerSize bytes.
func parseHeader(b []byte) (header, error) {
	h := header{size: int(binary.LittleEndian.Uint32(b)), kind: kind(b[4]), id: binary.LittleEndian.Uint64(b[5:])}
	if h.kind == 0 || h.kind >= kindLimit {
		return h, Malformed("a frame of kind %d", h.kind)
	}
	if h.size > MaxPayload {
		return h, Malformed("a frame of %d bytes", h.size)
	}
	return h, nil
}

// putHeader writes a header over the first headerSize bytes of b.
func putHeader(b []byte, k kind, id uint64) {
	binary.LittleEndian.PutUint32(b, uint32(len(b)-headerSize))
	b[4] = byte(k)
	binary.LittleEndian.PutUint64(b[5:], id)
}
