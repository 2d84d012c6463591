package agentruntime

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/dop251/goja"
)

var errBodyTooLarge = errors.New("read the body: it is larger than what may be held in memory")

// fetch sends a request of code to target and returns the promise of its Response. It counts as a subrequest and waits
// at the output gate. The request's AbortSignal ends it, its body too.
func (r *realm) fetch(target Target, input, init goja.Value) goja.Value {
	req, signal, err := r.requestAndSignal(input, init)
	if err != nil {
		return r.rejected(r.errorValue(err))
	}
	if signal != nil && signal.aborted {
		return r.rejected(signal.reason)
	}
	if target.Kind == TargetEgress && isDataURL(req.URL) {
		return r.fetchData(req)
	}
	if err := r.subrequest(); err != nil {
		return r.rejected(r.errorValue(err))
	}
	inv := r.current()
	host := inv.host()
	ctx, cancel := context.WithCancel(inv.ctx())
	var places connections
	if target.Kind == TargetEgress || target.Kind == TargetCache {
		places = inv.connections()
	}
	gate := make(chan error, 1)
	r.gateOutput(func(err error) { gate <- err })

	unwatch, scope := func() {}, r.scope()
	ended := cancel
	var promise goja.Value
	var resolve, reject func(goja.Value)
	if signal != nil {
		promise, resolve, reject = r.newPromise()
		unwatch = signal.onAbort(func() {
			cancel()
			reject(signal.reason)
		})
		ended = func() {
			cancel()
			r.deliver(scope, unwatch)
		}
	}
	answer := r.start(func(context.Context) (any, error) {
		select {
		case err := <-gate:
			if err != nil {
				cancel()
				return nil, err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		var res *Response
		ask := func() (err error) {
			res, err = host.Fetch(ctx, target, req)
			return err
		}
		var err error
		if places == nil {
			err = ask()
		} else {
			err = places.during(ctx, ask)
		}
		if err != nil {
			cancel()
			return nil, err
		}
		if _, apart := res.Socket.(Detached); apart {
			cancel()
			return res, nil
		}
		if res.Socket != nil {
			res.Socket = &watchedSocket{Socket: res.Socket, ended: ended}
			return res, nil
		}
		if _, whole := res.Body.(interface{ Len() int }); whole || res.Body == nil {
			cancel() // nothing is still to come
			return res, nil
		}
		res.Body = &fetchedBody{ReadCloser: res.Body, ended: ended}
		return res, nil
	}, func(v any) (goja.Value, error) {
		res := v.(*Response)
		_, lasts := res.Socket.(*watchedSocket)
		if _, watched := res.Body.(*fetchedBody); !watched && !lasts {
			unwatch()
		}
		return r.responseValue(res), nil
	})
	if signal == nil {
		return answer
	}
	r.upon(answer, resolve, func(err goja.Value) {
		unwatch()
		reject(err)
	})
	return promise
}

// fetchedBody is the body of an answer. Closing it, or its end, ends the request.
type fetchedBody struct {
	io.ReadCloser
	ended func() // cancels the request and stops watching its AbortSignal
	once  sync.Once
}

func (b *fetchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.end()
	}
	return n, err
}

func (b *fetchedBody) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err
}

func (b *fetchedBody) end() { b.once.Do(b.ended) }

func init() {
	declareFunction("fetch", 1, func(r *realm, call goja.FunctionCall) goja.Value {
		return r.fetch(Target{Kind: TargetEgress}, call.Argument(0), call.Argument(1))
	})
}
