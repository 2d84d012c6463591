package wire

import (
	"encoding/json"
	"io"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/sandbox"
)

// Bundling asks a process to bundle an agent's code. It is the one message that such a process gets, as JSON.
type Bundling struct {
	// Main, Dir, MaxSize, WithoutNode and Apart are those of agentruntime.BuildOptions; Dir is absolute.
	Main, Dir          string
	MaxSize            int64
	WithoutNode, Apart bool
	// Memory is the most bytes that the process may use.
	Memory int64
	// Sandbox is what the process gives up before it looks at the code, but for Read, which it finds itself.
	Sandbox sandbox.Options
}

// Bundled is one message of such a process, as JSON. One field of it is set; Bundle, Refused and Failed end it.
type Bundled struct {
	// InForce is what holds the process. It comes before all else.
	InForce *sandbox.InForce `json:",omitempty"`
	// Read is a file that is read next.
	Read string `json:",omitempty"`
	// Warning is worth one and does not stop the build.
	Warning string `json:",omitempty"`
	// Bundle is what came of it.
	Bundle *agentruntime.Bundle `json:",omitempty"`
	// Refused is what is wrong with the files.
	Refused *agentruntime.BuildError `json:",omitempty"`
	// Failed is any other error.
	Failed string `json:",omitempty"`
}

// ReadBundled reads messages, at most so many bytes of them, and hands each to take until it returns false. The error of a
// stream that ended before is io.EOF or io.ErrUnexpectedEOF.
func ReadBundled(from io.Reader, most int64, take func(Bundled) bool) error {
	d := json.NewDecoder(&io.LimitedReader{R: from, N: most})
	for {
		var b Bundled
		if err := d.Decode(&b); err != nil {
			return err
		}
		if !take(b) {
			return nil
		}
	}
}
