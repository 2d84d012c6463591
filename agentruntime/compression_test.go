package agentruntime

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/andybalholm/brotli"
)

func TestCompressionStreams(t *testing.T) {
	const helpers = `
const through = async (s, ...chunks) => { const w = s.writable.getWriter(); const out = all(s.readable); try { for (const c of chunks) { w.write(c).catch(() => {}) } w.close().catch(() => {}) } catch {} return dec(Uint8Array.from((await out).flatMap(c => [...c]))) };
const squeezed = async (format, text) => new Uint8Array(await new Response(new Blob([text]).stream().pipeThrough(new CompressionStream(format))).arrayBuffer());
const formats = ['gzip', 'deflate', 'deflate-raw', 'brotli'];
`
	cases := []webCase{
		{"there and back", `const out = []; const text = 'to be or not to be, '.repeat(500); for (const f of formats) { const z = await squeezed(f, text); out.push(z.length < 200 && await through(new DecompressionStream(f), z) === text) } return out`, "true,true,true,true"},
		{"byte by byte", `const out = []; for (const f of formats) { const z = await squeezed(f, 'hello, hello, hello'); out.push(await through(new DecompressionStream(f), ...Array.from(z, b => new Uint8Array([b])))) } return out.join('|')`, "hello, hello, hello|hello, hello, hello|hello, hello, hello|hello, hello, hello"},
		{"empty", `const out = []; for (const f of formats) { const z = await squeezed(f, ''); out.push(z.length > 0, await through(new DecompressionStream(f), z)) } return out`, "true,,true,,true,,true,"},
		{"trailing data, after what was good", `const out = []; for (const f of formats) { const z = await squeezed(f, 'good'); const s = new DecompressionStream(f); const w = s.writable.getWriter(); const r = s.readable.getReader(); const p = w.write(new Uint8Array([...z, 1])).catch(e => e.name); const first = dec((await r.read()).value); out.push(first, await r.read().catch(e => e.name), await p) } return out`, "good,TypeError,TypeError,good,TypeError,TypeError,good,TypeError,TypeError,good,TypeError,TypeError"},
		{"trailing data in a chunk of its own", `const z = await squeezed('gzip', 'good'); return through(new DecompressionStream('gzip'), z, new Uint8Array([0])).catch(e => e.message)`, "Decompression failed: there is data after the end."},
		{"cut short", `const out = []; for (const f of formats) { const z = await squeezed(f, 'a text of some length'); out.push(await through(new DecompressionStream(f), z.slice(0, -1)).catch(e => e.name)) } return out`, "TypeError,TypeError,TypeError,TypeError"},
		{"nothing at all", `return through(new DecompressionStream('gzip')).catch(e => e.message)`, "The compressed data ends too early."},
		{"a flipped bit", `const out = []; for (const i of [0, 1, 2, 12, -6, -2]) { const z = await squeezed('gzip', 'a text of some length'); z[(i + z.length) % z.length] ^= 0x10; out.push(await through(new DecompressionStream('gzip'), z).catch(e => e.name)) } return out`, "TypeError,TypeError,TypeError,TypeError,TypeError,TypeError"},
		{"chunks that are no bytes", `const out = []; for (const C of [CompressionStream, DecompressionStream]) for (const c of ['text', 1, null, {}]) { const s = new C('gzip'); s.readable.getReader().read().catch(() => {}); out.push(await s.writable.getWriter().write(c).catch(e => e.name)) } return new Set(out).size + out[0]`, "1TypeError"},
		{"formats", `const f = x => { try { new CompressionStream(x); return 'made' } catch (e) { return e.name } }; return [f('gzip'), f('GZIP'), f('br'), f()]`, "made,TypeError,TypeError,TypeError"},
		{"a bomb waits for its reader", `const z = await squeezed('gzip', new Uint8Array(4 << 20)); const s = new DecompressionStream('gzip'); const w = s.writable.getWriter(); let written = false; const p = w.write(z).then(() => written = true); const r = s.readable.getReader(); const n = (await r.read()).value.length; await tick(50); const early = written; let size = n; w.close(); for (;;) { const c = await r.read(); if (c.done) break; size += c.value.length } await p; return [early, size]`, "false,4194304"},
		{"a bomb of brotli", `const z = await squeezed('brotli', new Uint8Array(4 << 20)); const s = new DecompressionStream('brotli'); const w = s.writable.getWriter(); let written = false; const p = w.write(z).then(() => written = true); const r = s.readable.getReader(); const n = (await r.read()).value.length; await tick(50); const early = written; let size = n; w.close(); for (;;) { const c = await r.read(); if (c.done) break; size += c.value.length } await p; return [z.length < 100, n <= 65536, early, size]`, "true,true,false,4194304"},
		{"trailing data behind brotli, in a chunk of its own", `const z = await squeezed('brotli', 'good'); return through(new DecompressionStream('brotli'), z, new Uint8Array([0])).catch(e => e.message)`, "Decompression failed: there is data after the end."},
		{"cancelled in the middle of a bomb", `const z = await squeezed('gzip', new Uint8Array(4 << 20)); const s = new DecompressionStream('gzip'); const p = s.writable.getWriter().write(z).catch(e => e); const r = s.readable.getReader(); await r.read(); await r.cancel(new Error('enough')); return (await p).message`, "enough"},
	}
	for i := range cases {
		cases[i].src = helpers + cases[i].src
	}
	runStreamCases(t, cases)
}

// inflated decompresses data given in pieces that end at the cuts.
func inflated(data []byte, piece func() int) ([]byte, error) {
	z := &inflater{}
	var out []byte
	for {
		got, err := z.next()
		if err != nil {
			return out, err
		}
		out = append(out, got...)
		switch {
		case z.state == inflateEnd:
			return out, nil
		case len(got) > 0:
		case len(data) == 0:
			return out, io.ErrUnexpectedEOF
		default:
			n := min(piece(), len(data))
			z.in, data = append(z.in, data[:n]...), data[n:]
		}
	}
}

func TestInflate(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		plain := make([]byte, rnd.IntN(300_000))
		for j := range plain {
			switch i % 3 {
			case 0:
				plain[j] = byte(rnd.Uint32())
			case 1:
				plain[j] = "abcab"[rnd.IntN(5)]
			default:
				plain[j] = byte(j / 1000)
			}
		}
		var packed bytes.Buffer
		w, err := flate.NewWriter(&packed, []int{0, 1, 6, 9, flate.HuffmanOnly}[i%5])
		if err != nil {
			t.Fatal(err)
		}
		for rest := plain; len(rest) > 0; {
			n := min(1+rnd.IntN(100_000), len(rest))
			_, _ = w.Write(rest[:n])
			rest = rest[n:]
			if rnd.IntN(2) == 0 {
				_ = w.Flush()
			}
		}
		_ = w.Close()
		got, err := inflated(packed.Bytes(), func() int { return 1 + rnd.IntN(5000) })
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("round %d: %d bytes of %d, %v", i, len(got), len(plain), err)
		}
		for range 20 {
			broken := bytes.Clone(packed.Bytes())
			broken = broken[:min(len(broken), 4000)]
			for range 1 + rnd.IntN(3) {
				broken[rnd.IntN(len(broken))] ^= 1 << rnd.IntN(8)
			}
			compareInflated(t, broken)
		}
	}
}

// FuzzInflate holds the inflater against the standard library's.
func FuzzInflate(f *testing.F) {
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, 6)
	_, _ = w.Write(bytes.Repeat([]byte("some text, "), 20))
	_ = w.Close()
	f.Add(packed.Bytes())
	f.Add([]byte{1, 0, 0, 0xff, 0xff})
	f.Add([]byte{5, 0xc0, 0x81, 0, 0, 0, 0, 0, 0x90, 0xff, 0x6b, 4})
	f.Fuzz(compareInflated)
}

// compareInflated decompresses data with the standard library too.
func compareInflated(t *testing.T, data []byte) {
	want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data)), 1<<20))
	if len(want) == 1<<20 {
		return
	}
	got, err := inflated(data, func() int { return 3 })
	if wantErr == nil && (err != nil || !bytes.Equal(got, want)) {
		t.Fatalf("%x: %d bytes, %v; the standard library has %d", data, len(got), err, len(want))
	}
	if wantErr != nil && err == nil {
		t.Fatalf("%x: %d bytes; the standard library refuses them: %v", data, len(got), wantErr)
	}
}

// FuzzUnbrotli sees that no input breaks the decoder, however it is cut, and that what was compressed comes back.
func FuzzUnbrotli(f *testing.F) {
	f.Add([]byte{0x21, 0x08, 0x00, 0x04, 0x66, 0x6F, 0x6F, 0x03}, uint8(3))
	f.Add([]byte("to be or not to be, to be or not to be"), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, cut uint8) {
		size := int(cut) + 1
		if _, _, err := unbrotliIn(data, size); err != nil {
			t.Logf("not brotli: %v", err)
		}
		var packed bytes.Buffer
		w := brotli.NewWriter(&packed)
		_, _ = w.Write(data)
		_ = w.Close()
		out, whole, err := unbrotliIn(packed.Bytes(), size)
		if err != nil || !whole || !bytes.Equal(out, data) {
			t.Fatalf("%q came back as %q, %v, %v", data, out, whole, err)
		}
		if _, whole, err := unbrotliIn(append(packed.Bytes(), 0), size); err == nil || whole {
			t.Fatalf("%q with a byte behind it came back, %v, %v", data, whole, err)
		}
	})
}

// unbrotliIn decompresses data, at most 1 MiB of what it holds, in pieces of size bytes.
func unbrotliIn(data []byte, size int) (out []byte, whole bool, err error) {
	d := newUnbrotli()
	for piece := range slices.Chunk(data, size) {
		d.feed(piece)
		for {
			got, err := d.next()
			if err != nil {
				return out, false, err
			}
			out = append(out, got...)
			if len(got) < inflatePiece && !d.fails() {
				break
			}
			if len(out) > 1<<20 {
				return out, false, nil
			}
		}
	}
	return out, d.finished(), nil
}

func BenchmarkInflate(b *testing.B) {
	plain := bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog; 0123456789\n"), 20_000)
	for i := 0; i < len(plain); i += 97 {
		plain[i] = byte(i)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(plain)
	_ = w.Close()
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		d := newDecompressor("gzip")
		d.feed(packed.Bytes())
		for !d.finished() {
			if _, err := d.next(); err != nil {
				b.Fatal(err)
			}
		}
	}
}
