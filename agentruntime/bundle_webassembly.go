package agentruntime

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/gatehouse-edge/gatehouse/agentruntime/wasmbinary"
)

// wasmImport is the global through which a bundle gets the modules of its .wasm files.
const wasmImport = "__wasm"

// loadWasm makes the import of a .wasm file give a WebAssembly.Module, as in Workers
// (https://developers.cloudflare.com/workers/runtime-apis/webassembly/javascript/). The bytes are a string of the bundle, which
// is read once for an agent.
func loadWasm(path string) (api.OnLoadResult, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return api.OnLoadResult{}, err
	}
	if m, err := wasmbinary.Parse(data); err != nil {
		return refuseWasm("this is no WebAssembly module: " + err.Error()), nil
	} else if _, err := m.Rewrite(); err != nil {
		return refuseWasm("this WebAssembly module needs what is not supported: " + err.Error()), nil
	}
	sum := sha256.Sum256(data)
	text := fmt.Sprintf("export default globalThis.%s(%q, %q);\n", wasmImport, hex.EncodeToString(sum[:])[:32], base64.StdEncoding.EncodeToString(data))
	return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS}, nil
}

func refuseWasm(text string) api.OnLoadResult {
	return api.OnLoadResult{Errors: []api.Message{{Text: text, Notes: []api.Note{{Text: "Compile it for the features that docs/runtime.md lists."}}}}}
}
