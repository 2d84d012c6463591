package agentruntime

import (
	"context"
	"crypto/subtle"
	"errors"
	"time"

	"github.com/dop251/goja"

	"github.com/gatehouse-edge/gatehouse/agentruntime/webcrypto"
)

// subtleMethod makes a method of SubtleCrypto out of its body, which reads arguments and computes at once: what throws
// in it rejects the promise.
func subtleMethod(name string, length int, f func(r *realm, call goja.FunctionCall) goja.Value) member {
	what := "'" + name + "' on 'SubtleCrypto'"
	return member{name: name, length: length, call: promised(method(func(r *realm, _ *subtleCrypto, call goja.FunctionCall) goja.Value {
		r.need(call, length, what)
		return f(r, call)
	}))}
}

func init() {
	crypt := func(name string, op webcrypto.Operation, f func(*webcrypto.Key, *webcrypto.Params, []byte) ([]byte, error)) member {
		return subtleMethod(name, 3, func(r *realm, call goja.FunctionCall) goja.Value {
			key := r.keyArgument(call, 1)
			r.wantBuffers(call, 2)
			p := r.algorithm(op, call.Argument(0))
			out, err := f(key, p, r.bufferArgument(call, 2))
			r.checkCrypto(err)
			return r.resolved(r.arrayBuffer(out))
		})
	}
	(&webClass{name: "SubtleCrypto", members: []member{
		crypt("encrypt", webcrypto.OpEncrypt, webcrypto.Encrypt),
		crypt("decrypt", webcrypto.OpDecrypt, webcrypto.Decrypt),
		crypt("sign", webcrypto.OpSign, webcrypto.Sign),
		subtleMethod("verify", 4, func(r *realm, call goja.FunctionCall) goja.Value {
			key := r.keyArgument(call, 1)
			r.wantBuffers(call, 2, 3)
			p := r.algorithm(webcrypto.OpVerify, call.Argument(0))
			valid, err := webcrypto.Verify(key, p, r.bufferArgument(call, 2), r.bufferArgument(call, 3))
			r.checkCrypto(err)
			return r.resolved(r.rt.ToValue(valid))
		}),
		subtleMethod("digest", 2, func(r *realm, call goja.FunctionCall) goja.Value {
			r.wantBuffers(call, 1)
			name := r.algorithmName(call.Argument(0))
			h := webcrypto.NewHash(name)
			if h == nil {
				panic(r.domException("NotSupportedError", "Unrecognized or unimplemented digest algorithm requested: "+shortened(name)))
			}
			h.Write(r.bufferArgument(call, 1))
			return r.resolved(r.arrayBuffer(h.Sum(nil)))
		}),
		subtleMethod("generateKey", 3, func(r *realm, call goja.FunctionCall) goja.Value {
			extractable, usages := call.Argument(1).ToBoolean(), r.usages(call.Argument(2))
			p := r.algorithm(webcrypto.OpGenerate, call.Argument(0))
			r.checkCrypto(webcrypto.CheckGenerate(p, usages))
			return r.compute(webcrypto.Slow(webcrypto.OpGenerate, p), func() (any, error) {
				public, key, err := webcrypto.Generate(p, extractable, usages)
				return [2]*webcrypto.Key{public, key}, err
			}, func(v any) goja.Value {
				keys := v.([2]*webcrypto.Key)
				if keys[0] == nil {
					return r.cryptoKey(keys[1])
				}
				pair := r.rt.NewObject()
				_ = pair.Set("publicKey", r.cryptoKey(keys[0]))
				_ = pair.Set("privateKey", r.cryptoKey(keys[1]))
				return pair
			})
		}),
		subtleMethod("importKey", 5, func(r *realm, call goja.FunctionCall) goja.Value {
			format := r.keyFormat(call.Argument(0))
			data := r.keyData(format, call.Argument(1))
			extractable, usages := call.Argument(3).ToBoolean(), r.usages(call.Argument(4))
			p := r.algorithm(webcrypto.OpImport, call.Argument(2))
			if data.JWK == nil {
				data.Bytes = r.bufferArgument(call, 1)
			}
			key, err := webcrypto.Import(format, data, p, extractable, usages)
			r.checkCrypto(err)
			return r.resolved(r.cryptoKey(key))
		}),
		subtleMethod("exportKey", 2, func(r *realm, call goja.FunctionCall) goja.Value {
			format, key := r.keyFormat(call.Argument(0)), r.keyArgument(call, 1)
			data, err := webcrypto.Export(format, key)
			r.checkCrypto(err)
			if data.JWK != nil {
				return r.resolved(r.jwkObject(data.JWK))
			}
			return r.resolved(r.arrayBuffer(data.Bytes))
		}),
		subtleMethod("deriveBits", 2, func(r *realm, call goja.FunctionCall) goja.Value {
			key, length := r.keyArgument(call, 1), -1
			if v := call.Argument(2); some(v) {
				length = r.enforceRange(v, 1<<32-1, "length")
			}
			p := r.algorithm(webcrypto.OpDerive, call.Argument(0))
			return r.compute(webcrypto.Slow(webcrypto.OpDerive, p), func() (any, error) {
				return webcrypto.DeriveBits(key, p, length)
			}, func(v any) goja.Value { return r.arrayBuffer(v.([]byte)) })
		}),
		subtleMethod("deriveKey", 5, func(r *realm, call goja.FunctionCall) goja.Value {
			key := r.keyArgument(call, 1)
			extractable, usages := call.Argument(3).ToBoolean(), r.usages(call.Argument(4))
			p := r.algorithm(webcrypto.OpDerive, call.Argument(0))
			into, length := r.algorithm(webcrypto.OpImport, call.Argument(2)), r.algorithm(webcrypto.OpLength, call.Argument(2))
			return r.compute(webcrypto.Slow(webcrypto.OpDerive, p), func() (any, error) {
				return webcrypto.DeriveKey(key, p, into, length, extractable, usages)
			}, func(v any) goja.Value { return r.cryptoKey(v.(*webcrypto.Key)) })
		}),
		subtleMethod("wrapKey", 4, func(r *realm, call goja.FunctionCall) goja.Value {
			format, key, with := r.keyFormat(call.Argument(0)), r.keyArgument(call, 1), r.keyArgument(call, 2)
			p := r.algorithmOrElse(webcrypto.OpWrap, webcrypto.OpEncrypt, call.Argument(3))
			r.checkCrypto(webcrypto.MayWrap(with, p))
			data, err := webcrypto.Export(format, key)
			r.checkCrypto(err)
			if data.JWK != nil {
				data.Bytes = jwkJSON(data.JWK)
			}
			out, err := webcrypto.Wrap(with, p, data.Bytes)
			r.checkCrypto(err)
			return r.resolved(r.arrayBuffer(out))
		}),
		subtleMethod("unwrapKey", 7, func(r *realm, call goja.FunctionCall) goja.Value {
			format, with := r.keyFormat(call.Argument(0)), r.keyArgument(call, 2)
			r.wantBuffers(call, 1)
			extractable, usages := call.Argument(5).ToBoolean(), r.usages(call.Argument(6))
			p := r.algorithmOrElse(webcrypto.OpUnwrap, webcrypto.OpDecrypt, call.Argument(3))
			into := r.algorithm(webcrypto.OpImport, call.Argument(4))
			data := webcrypto.KeyData{}
			var err error
			data.Bytes, err = webcrypto.Unwrap(with, p, r.bufferArgument(call, 1))
			r.checkCrypto(err)
			if format == "jwk" {
				data.JWK, err = jwkOfJSON(data.Bytes)
				r.checkCrypto(err)
			}
			key, err := webcrypto.Import(format, data, into, extractable, usages)
			r.checkCrypto(err)
			return r.resolved(r.cryptoKey(key))
		}),
		{name: "timingSafeEqual", length: 2, call: method(func(r *realm, _ *subtleCrypto, call goja.FunctionCall) goja.Value {
			a, ok := r.bytesOf(call.Argument(0))
			b, ok2 := r.bytesOf(call.Argument(1))
			if !ok || !ok2 {
				panic(r.typeError("Failed to execute 'timingSafeEqual' on 'SubtleCrypto': both parameters must be an ArrayBuffer or a view of one."))
			}
			if len(a) != len(b) {
				panic(r.typeError("Input buffers must have the same byte length"))
			}
			return r.rt.ToValue(subtle.ConstantTimeCompare(a, b) == 1)
		})},
	}}).declare()
}

// checkCrypto throws err, if there is one, as the specification's exceptions.
func (r *realm) checkCrypto(err error) {
	if err != nil {
		panic(r.cryptoError(err))
	}
}

func (r *realm) cryptoError(err error) goja.Value {
	var e *webcrypto.Error
	switch {
	case !errors.As(err, &e):
		return r.errorValue(err)
	case e.Name == "TypeError":
		return r.typeError(e.Message)
	}
	return r.domException(e.Name, e.Message)
}

// compute does some work and returns the promise of what settle makes of it. Slow work does not hold up the loop: it runs
// on a goroutine of its own, one at a time in a realm, and its CPU time is charged to the invocation when it ends.
func (r *realm) compute(slow bool, work func() (any, error), settle func(any) goja.Value) goja.Value {
	if !slow {
		v, err := work()
		r.checkCrypto(err)
		return r.resolved(settle(v))
	}
	type computed struct {
		v    any
		err  error
		used time.Duration
	}
	web, inv := r.web(), r.current()
	if web.computing == nil {
		web.computing = make(chan struct{}, 1)
	}
	computing := web.computing
	return r.start(func(ctx context.Context) (any, error) {
		select {
		case computing <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		defer func() { <-computing }()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		lockThread()
		defer unlockThread()
		var clock threadClock
		clock.here()
		began := clock.now()
		v, err := work()
		return computed{v, err, clock.now() - began}, nil
	}, func(res any) (goja.Value, error) {
		c := res.(computed)
		if inv.cpu += c.used; !inv.done && inv.cpu > inv.limits.CPU+cpuGrace {
			r.fault(overBudget{})
		}
		if c.err != nil {
			return nil, &thrown{r.cryptoError(c.err)}
		}
		return settle(c.v), nil
	})
}
