package agentruntime

import (
	"fmt"
	"slices"
)

// wranglerOwn are the keys that an environment does not take over from the file's top level
// (https://developers.cloudflare.com/workers/wrangler/configuration/#non-inheritable-keys). Every other key it does.
var wranglerOwn = map[string]bool{
	"vars": true, "durable_objects": true, "kv_namespaces": true, "services": true, "analytics_engine_datasets": true,
	"tail_consumers": true, "ratelimits": true, "workflows": true, "ai": true, "browser": true, "containers": true,
	"d1_databases": true, "define": true, "dispatch_namespaces": true, "hyperdrive": true, "images": true, "mtls_certificates": true,
	"pipelines": true, "queues": true, "r2_buckets": true, "secrets_store_secrets": true, "send_email": true,
	"vectorize": true, "version_metadata": true, "worker_loaders": true,
}

// environment gives the file's settings as one of its environments has them; the empty name is the top level itself.
func (r *wranglerReader) environment(top *setting, name string) *setting {
	fields, ok := top.value.(map[string]*setting)
	if !ok {
		return top // which is refused where it is read
	}
	all, ok := fields["env"]
	environments := map[string]*setting{}
	if ok {
		if environments, ok = all.value.(map[string]*setting); !ok {
			r.wrongKind(all, "a table of environments")
			return top
		}
	}
	if name == "" {
		return top
	}
	chosen := environments[name]
	if chosen == nil {
		there := make([]string, 0, len(environments))
		for env := range environments {
			there = append(there, env)
		}
		slices.Sort(there)
		r.fail(&setting{}, fmt.Sprintf("there is no environment %s in the file", name), "There are: "+listOr(there, "none")+".")
		return top
	}
	own, ok := chosen.value.(map[string]*setting)
	if !ok {
		r.wrongKind(chosen, "a table")
		return top
	}
	merged := map[string]*setting{}
	for key, s := range fields {
		if !wranglerOwn[key] && key != "env" {
			merged[key] = s
		}
	}
	for key, s := range own {
		if key == "env" {
			r.fail(s, s.path+": an environment has no environments of its own", "Remove it.")
			continue
		}
		merged[key] = s
	}
	return &setting{value: merged, line: top.line, col: top.col}
}
