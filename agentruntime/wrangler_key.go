package agentruntime

// wranglerIdle are the keys that say how Cloudflare's own tools develop, upload and bill a Worker. They change nothing
// in how its code runs, so they are taken and have no effect.
var wranglerIdle = map[string]bool{
	"$schema": true, "account_id": true, "workers_dev": true, "preview_urls": true, "send_metrics": true, "dev": true,
	"keep_vars": true, "minify": true, "keep_names": true, "upload_source_maps": true, "observability": true,
	"logpush": true, "placement": true, "usage_model": true, "compliance_region": true,
}

const (
	bundledHere = "Files are bundled here with fixed settings; import what the code needs, or bundle it beforehand and name the result as main."
	overFetch   = "Reach it with fetch, under an egress policy that allows its host."
	inCaddyfile = "Requests come to an agent by the Caddyfile: put \"agent NAME\" into the site's block."
	keepState   = "Keep the data in a durable actor or in a KV namespace."
)

// wranglerRefused are the keys of a wrangler file that would change what the code sees or does, and that are not
// built. Each has the way out.
var wranglerRefused = map[string]string{
	"ai":                       "Call the model's API with fetch, under an egress policy; keep its key with: caddy gatehouse secret put.",
	"ai_search":                overFetch,
	"ai_search_namespaces":     overFetch,
	"alias":                    bundledHere,
	"base_dir":                 bundledHere,
	"browser":                  overFetch,
	"build":                    "Run the build before the server starts, and name its result as main.",
	"cloudchamber":             overFetch,
	"containers":               overFetch,
	"d1_databases":             keepState,
	"data_blobs":               "Import the file in the code; a file that ends in .bin gives its bytes.",
	"define":                   "Give the values as vars.",
	"dispatch_namespaces":      "Declare each agent in the Caddyfile.",
	"exports":                  "Name the classes in durable_objects.bindings.",
	"find_additional_modules":  bundledHere,
	"first_party_worker":       "Remove it.",
	"hyperdrive":               overFetch,
	"images":                   overFetch,
	"jsx_factory":              "Set jsxFactory in a tsconfig.json beside the code.",
	"jsx_fragment":             "Set jsxFragmentFactory in a tsconfig.json beside the code.",
	"legacy_env":               "Remove it: each environment is an agent of its own name in the Caddyfile.",
	"logfwdr":                  "Name the agent that gets the records in the Caddyfile, as in: tail watcher",
	"media":                    overFetch,
	"mtls_certificates":        "Put the request through a Caddy site that presents the certificate.",
	"no_bundle":                bundledHere,
	"pages_build_output_dir":   "Serve the files with Caddy's file_server, behind the agent in the same site.",
	"pipelines":                overFetch,
	"preserve_file_names":      bundledHere,
	"python_modules":           "Agents are TypeScript or JavaScript.",
	"queues":                   "Queue the work in a durable actor, and do it in its alarm.",
	"r2_buckets":               "Reach a store that speaks the S3 API with fetch, under an egress policy that allows its host.",
	"route":                    inCaddyfile,
	"routes":                   inCaddyfile,
	"rules":                    bundledHere,
	"secrets":                  "Bind each secret in the Caddyfile, as in: secret OPENAI_KEY openai",
	"send_email":               overFetch,
	"site":                     "Serve the files with Caddy's file_server, behind the agent in the same site.",
	"stream":                   overFetch,
	"streaming_tail_consumers": "Name the agent that gets the records in the Caddyfile, as in: tail watcher",
	"text_blobs":               "Import the file in the code; a file that ends in .txt gives its text.",
	"tsconfig":                 "Name the file tsconfig.json and put it beside the code.",
	"unsafe":                   "Remove it.",
	"unsafe_hello_world":       "Remove it.",
	"vectorize":                overFetch,
	"version_metadata":         "Give the version as one of the vars.",
	"vpc_services":             overFetch,
	"wasm_modules":             "Use a package written in JavaScript.",
	"worker_loaders":           "Declare each agent in the Caddyfile.",
	"zone_id":                  inCaddyfile,
}

// nearest returns the name among known that a mistyped one most likely means, or nothing: at most two letters are
// changed, left out or put in.
func nearest(name string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if d := editDistance(name, k); d < distance && d < len(k) {
			best, distance = k, d
		}
	}
	return best
}

// editDistance counts the letters to change, leave out or put in to make a from b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost = 1 + min(diagonal, row[j], row[j-1])
			}
			diagonal, row[j] = row[j], cost
		}
	}
	return row[len(b)]
}
