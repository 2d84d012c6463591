package agentruntime

import (
	"errors"
	"math/bits"
)

// inflater decompresses DEFLATE (RFC 1951) from input that comes in pieces. The decoders of the standard library read
// from an io.Reader, and so need a goroutine for every stream that waits for input: code that forgets a stream would
// leave it behind, and its CPU time would not be the invocation's. This one stops wherever the input or the room for
// output ends, and goes on from there.
type inflater struct {
	in    []byte
	acc   uint64 // bits not used yet, the next one lowest
	count uint   // how many
	state inflateState
	last  bool // the block is the last one

	stored    int // bytes left of a stored block
	sizes     [320]uint8
	known     int // sizes read so far
	literals  int // codes of the literal table
	distances int
	order     int // code length codes
	codeSizes [19]uint8

	codes, lit, dist huffman

	// out holds the output that was not taken, behind the window that it may refer to.
	out   []byte
	taken int
}

type inflateState uint8

const (
	inflateHeader inflateState = iota
	inflateStoredSize
	inflateStored
	inflateCounts
	inflateCodeSizes
	inflateSizes
	inflateCodes
	inflateEnd
)

const (
	inflateWindow = 32 << 10
	// inflatePiece is how much output is made at once.
	inflatePiece = 64 << 10
)

var errInflate = errors.New("the compressed data is not valid")

// huffman decodes a canonical code: an entry, found by the next size bits, is a symbol and below it, in four bits, the
// length of its code; 0 stands for no code.
type huffman struct {
	table []uint16
	size  uint
}

// build makes the table for codes of the given lengths. A code that leaves bits unused is valid only where sparse says
// so and it has a single code, or none.
func (h *huffman) build(lengths []uint8, sparse bool) bool {
	var count [16]int
	most := uint8(0)
	for _, n := range lengths {
		count[n]++
		most = max(most, n)
	}
	if most == 0 {
		h.table, h.size = append(h.table[:0], 0, 0), 1
		return sparse
	}
	var next [16]int
	code, left := 0, 1
	for n := 1; n <= 15; n++ {
		if left = left<<1 - count[n]; left < 0 {
			return false
		}
		if n > 1 {
			code = (code + count[n-1]) << 1
		}
		next[n] = code
	}
	if left > 0 && (!sparse || most != 1) {
		return false
	}
	h.size = uint(most)
	if need := 1 << most; cap(h.table) >= need {
		h.table = h.table[:need]
		clear(h.table)
	} else {
		h.table = make([]uint16, need)
	}
	for symbol, n := range lengths {
		if n == 0 {
			continue
		}
		at := int(bits.Reverse16(uint16(next[n])) >> (16 - n))
		next[n]++
		for ; at < len(h.table); at += 1 << n {
			h.table[at] = uint16(symbol)<<4 | uint16(n)
		}
	}
	return true
}

// fixedLit and fixedDist are the codes of blocks with fixed ones.
var fixedLit, fixedDist = func() (lit, dist huffman) {
	var l [288]uint8
	for i := range l {
		switch {
		case i < 144:
			l[i] = 8
		case i < 256:
			l[i] = 9
		case i < 280:
			l[i] = 7
		default:
			l[i] = 8
		}
	}
	var d [32]uint8
	for i := range d {
		d[i] = 5
	}
	lit.build(l[:], false)
	dist.build(d[:], false)
	return lit, dist
}()

// codeOrder is the order in which the lengths of the code length code come.
var codeOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// Base values and extra bits of lengths, from symbol 257 on, and of distances.
var (
	lengthBase  = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase    = [30]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distExtra   = [30]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

// refill moves input into the accumulator, which then has at least 56 bits where there is input enough.
func (z *inflater) refill() {
	for z.count <= 56 && len(z.in) > 0 {
		z.acc |= uint64(z.in[0]) << z.count
		z.in = z.in[1:]
		z.count += 8
	}
}

// take returns the next n bits; ok is false where there are too few, and then nothing is used.
func (z *inflater) take(n uint) (v uint, ok bool) {
	z.refill()
	if z.count < n {
		return 0, false
	}
	v = uint(z.acc & (1<<n - 1))
	z.acc >>= n
	z.count -= n
	return v, true
}

// next decompresses until there are inflatePiece bytes, or the end of the input or of the data. The result is valid
// until the next call, and empty only where more input is needed or the data is at its end.
func (z *inflater) next() ([]byte, error) {
	if z.taken > inflateWindow {
		n := copy(z.out, z.out[z.taken-inflateWindow:])
		z.out, z.taken = z.out[:n], inflateWindow
	}
	for len(z.out)-z.taken < inflatePiece {
		more, err := z.step()
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
	}
	piece := z.out[z.taken:]
	z.taken = len(z.out)
	return piece, nil
}

// step does what comes next. It reports false where it cannot go on.
func (z *inflater) step() (bool, error) {
	switch z.state {
	case inflateHeader:
		if z.last {
			z.state = inflateEnd
			return false, nil
		}
		head, ok := z.take(3)
		if !ok {
			return false, nil
		}
		z.last = head&1 != 0
		switch head >> 1 {
		case 0:
			z.acc >>= z.count & 7
			z.count -= z.count & 7
			z.state = inflateStoredSize
		case 1:
			z.lit, z.dist, z.state = fixedLit, fixedDist, inflateCodes
		case 2:
			z.lit, z.dist, z.state = huffman{}, huffman{}, inflateCounts
		default:
			return false, errInflate
		}
	case inflateStoredSize:
		v, ok := z.take(32)
		if !ok {
			return false, nil
		}
		if z.stored = int(v & 0xffff); z.stored != int(^v>>16&0xffff) {
			return false, errInflate
		}
		z.state = inflateStored
	case inflateStored:
		for z.stored > 0 && z.count >= 8 {
			b, _ := z.take(8)
			z.out = append(z.out, byte(b))
			z.stored--
		}
		n := min(z.stored, len(z.in))
		z.out = append(z.out, z.in[:n]...)
		z.in, z.stored = z.in[n:], z.stored-n
		if z.stored > 0 {
			return false, nil
		}
		z.state = inflateHeader
	case inflateCounts:
		v, ok := z.take(14)
		if !ok {
			return false, nil
		}
		z.literals, z.distances, z.order = int(v&31)+257, int(v>>5&31)+1, int(v>>10)+4
		if z.literals > 286 || z.distances > 30 {
			return false, errInflate
		}
		z.known, z.codeSizes, z.state = 0, [19]uint8{}, inflateCodeSizes
	case inflateCodeSizes:
		for ; z.known < z.order; z.known++ {
			v, ok := z.take(3)
			if !ok {
				return false, nil
			}
			z.codeSizes[codeOrder[z.known]] = uint8(v)
		}
		if !z.codes.build(z.codeSizes[:], false) {
			return false, errInflate
		}
		z.known, z.state = 0, inflateSizes
	case inflateSizes:
		return z.readSizes()
	case inflateCodes:
		return z.decode()
	case inflateEnd:
		return false, nil
	}
	return true, nil
}

// readSizes reads the lengths of the codes of a block with codes of its own.
func (z *inflater) readSizes() (bool, error) {
	total := z.literals + z.distances
	for z.known < total {
		z.refill()
		e := z.codes.table[z.acc&(1<<z.codes.size-1)]
		n := uint(e & 15)
		symbol := uint8(e >> 4)
		extra, base := uint(0), 0
		switch symbol {
		case 16:
			extra, base = 2, 3
		case 17:
			extra, base = 3, 3
		case 18:
			extra, base = 7, 11
		}
		if n == 0 || z.count < n+extra {
			if z.count >= z.codes.size+extra {
				return false, errInflate
			}
			return false, nil
		}
		z.acc >>= n
		z.count -= n
		if symbol < 16 {
			z.sizes[z.known] = symbol
			z.known++
			continue
		}
		v, _ := z.take(extra)
		size := uint8(0)
		if symbol == 16 {
			if z.known == 0 {
				return false, errInflate
			}
			size = z.sizes[z.known-1]
		}
		repeat := base + int(v)
		if z.known+repeat > total {
			return false, errInflate
		}
		for range repeat {
			z.sizes[z.known] = size
			z.known++
		}
	}
	if z.sizes[256] == 0 || !z.lit.build(z.sizes[:z.literals], true) || !z.dist.build(z.sizes[z.literals:total], true) {
		return false, errInflate
	}
	z.state = inflateCodes
	return true, nil
}

// decode decompresses symbols until the piece is full.
func (z *inflater) decode() (bool, error) {
	for len(z.out)-z.taken < inflatePiece {
		if z.count < 48 {
			z.refill()
		}
		// A symbol with all that belongs to it has at most 48 bits, and is used as a whole or not at all.
		acc, count := z.acc, z.count
		e := z.lit.table[acc&(1<<z.lit.size-1)]
		n := uint(e & 15)
		if n == 0 || n > count {
			return z.starved(n == 0 && count >= z.lit.size)
		}
		acc, count = acc>>n, count-n
		symbol := int(e >> 4)
		if symbol < 256 {
			z.out = append(z.out, byte(symbol))
			z.acc, z.count = acc, count
			continue
		}
		if symbol == 256 {
			z.acc, z.count, z.state = acc, count, inflateHeader
			return true, nil
		}
		if symbol -= 257; symbol >= len(lengthBase) {
			return false, errInflate
		}
		x := uint(lengthExtra[symbol])
		if x > count {
			return z.starved(false)
		}
		length := int(lengthBase[symbol]) + int(acc&(1<<x-1))
		acc, count = acc>>x, count-x
		e = z.dist.table[acc&(1<<z.dist.size-1)]
		n = uint(e & 15)
		if n == 0 || n > count {
			return z.starved(n == 0 && count >= z.dist.size)
		}
		acc, count = acc>>n, count-n
		if symbol = int(e >> 4); symbol >= len(distBase) {
			return false, errInflate
		}
		x = uint(distExtra[symbol])
		if x > count {
			return z.starved(false)
		}
		distance := int(distBase[symbol]) + int(acc&(1<<x-1))
		z.acc, z.count = acc>>x, count-x
		from := len(z.out) - distance
		if from < 0 {
			return false, errInflate
		}
		if distance >= length {
			z.out = append(z.out, z.out[from:from+length]...)
			continue
		}
		for i := range length {
			z.out = append(z.out, z.out[from+i])
		}
	}
	return true, nil
}

// starved ends a decode that lacks input, or met bits that are no code.
func (z *inflater) starved(invalid bool) (bool, error) {
	if invalid {
		return false, errInflate
	}
	return false, nil
}

// rest gives back the whole bytes that were taken from the input and not used, with what is left of it. Only at the end.
func (z *inflater) rest() []byte {
	var left []byte
	z.acc >>= z.count & 7
	for z.count -= z.count & 7; z.count > 0; z.count -= 8 {
		left = append(left, byte(z.acc))
		z.acc >>= 8
	}
	left = append(left, z.in...)
	z.in = nil
	return left
}
