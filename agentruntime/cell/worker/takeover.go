//go:build takeover

package worker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/wire"
)

// order is what taken-over code wants done: a system call, or a message to the gateway.
type order struct {
	// Call is a system call's number, and Args its arguments: numbers, texts, which become pointers to bytes that end in a zero,
	// and {"bytes": base64}, which become pointers.
	Call *uintptr          `json:"call"`
	Args []json.RawMessage `json:"args"`
	// Ask is an operation of the gateway, and Fields its message: numbers and texts.
	Ask    *byte `json:"ask"`
	Fields []any `json:"fields"`
}

// done is what came of it.
type done struct {
	Result uintptr `json:"result"`
	Errno  string  `json:"errno,omitempty"`
	Answer string  `json:"answer,omitempty"` // base64
	Error  string  `json:"error,omitempty"`
}

// open lets code do whatever a process can that has this one's rights.
func (w *worker) open() {
	agentruntime.Takeover = func(command string) string {
		var o order
		var d done
		if err := json.Unmarshal([]byte(command), &o); err != nil {
			d.Error = err.Error()
		} else if o.Call != nil {
			d = o.call()
		} else {
			d = w.forged(o)
		}
		answer, _ := json.Marshal(d)
		return string(answer)
	}
}

func (o order) call() done {
	var args [6]uintptr
	var kept [][]byte
	for i, raw := range o.Args {
		var number int64
		var text string
		var data struct{ Bytes []byte }
		switch {
		case json.Unmarshal(raw, &number) == nil:
			args[i] = uintptr(number)
			continue
		case json.Unmarshal(raw, &text) == nil:
			kept = append(kept, append([]byte(text), 0))
		case json.Unmarshal(raw, &data) == nil:
			kept = append(kept, data.Bytes)
		}
		args[i] = uintptr(unsafe.Pointer(unsafe.SliceData(kept[len(kept)-1])))
	}
	r, _, errno := syscall.Syscall6(*o.Call, args[0], args[1], args[2], args[3], args[4], args[5])
	runtime.KeepAlive(kept)
	if errno != 0 {
		return done{Errno: errno.Error()}
	}
	return done{Result: r}
}

// forged asks the gateway for anything, in anyone's name.
func (w *worker) forged(o order) done {
	e := wire.NewMessage(*o.Ask)
	for _, field := range o.Fields {
		switch v := field.(type) {
		case float64:
			e.Uint(uint64(v))
		case string:
			e.String(v)
		case bool:
			e.Bool(v)
		default:
			return done{Error: fmt.Sprintf("a field of type %T", v)}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	answer, err := w.conn.Ask(ctx, e)
	if err != nil {
		return done{Error: err.Error()}
	}
	return done{Answer: base64.StdEncoding.EncodeToString(answer)}
}
