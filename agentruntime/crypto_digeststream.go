package agentruntime

import (
	"hash"
	"math/big"

	"github.com/dop251/goja"

	"github.com/gatehouse-edge/gatehouse/agentruntime/webcrypto"
)

// digestStreamClass is reached as crypto.DigestStream, and is no global.
const digestStreamClass = "DigestStream"

// digestStream is what a crypto.DigestStream has beside its WritableStream
// (https://developers.cloudflare.com/workers/runtime-apis/web-crypto/#digeststream).
type digestStream struct {
	hash    hash.Hash
	written int64
	result  goja.Value // the promise of the digest
}

func init() {
	digested := func(f func(r *realm, d *digestStream) goja.Value) nativeFunc {
		return getter(func(r *realm, w *writable) goja.Value {
			if w.digest == nil {
				panic(r.typeError("Illegal invocation"))
			}
			return f(r, w.digest)
		})
	}
	(&webClass{
		name: digestStreamClass, parent: "WritableStream", length: 1,
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			name := r.algorithmName(call.Argument(0))
			d := &digestStream{hash: webcrypto.NewHash(name)}
			if d.hash == nil {
				panic(r.domException("NotSupportedError", "Unrecognized or unimplemented digest algorithm requested: "+shortened(name)))
			}
			promise, resolve, reject := r.newPromise()
			d.result = promise
			w := r.newWritable(strategy{mark: 1}, r.stepOf(func(chunk goja.Value) {
				data, ok := r.bytesOf(chunk)
				if !ok {
					if _, ok := chunk.(goja.String); !ok {
						err := r.typeError("DigestStream takes chunks of bytes, or strings")
						reject(err)
						panic(err)
					}
					data = []byte(r.str(chunk))
				}
				d.hash.Write(data)
				d.written += int64(len(data))
			}), r.stepOf(func(goja.Value) {
				resolve(r.arrayBuffer(d.hash.Sum(nil)))
			}), r.stepOf(reject))
			w.digest, w.obj = d, call.This
			r.attach(call.This, w)
			return nil
		},
		members: []member{
			{name: "digest", get: digested(func(_ *realm, d *digestStream) goja.Value { return d.result })},
			{name: "bytesWritten", get: digested(func(r *realm, d *digestStream) goja.Value {
				return r.rt.ToValue(big.NewInt(d.written))
			})},
		},
	}).declare()
	delete(globals, digestStreamClass)
}
