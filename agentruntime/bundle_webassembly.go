package agentruntime

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"

	"github.com/evanw/esbuild/pkg/api"
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
	sum := sha256.Sum256(data)
	text := fmt.Sprintf("export default globalThis.%s(%q, %q);\n", wasmImport, hex.EncodeToString(sum[:])[:32], base64.StdEncoding.EncodeToString(data))
	return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS}, nil
}
