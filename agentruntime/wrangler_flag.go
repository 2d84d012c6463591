package agentruntime

import "strings"

// compatibleAlways are the compatibility flags whose effect every agent has here, whatever its compatibility date
// (https://developers.cloudflare.com/workers/configuration/compatibility-flags/).
var compatibleAlways = func() map[string]bool {
	all := map[string]bool{}
	for flag := range strings.FieldsSeq(`allow_custom_ports allow_eval_during_startup allow_importable_env
		assets_navigation_prefers_asset_serving blob_standard_mime_type cache_api_compat_flags capture_async_api_throws
		crypto_preserve_public_exponent delete_all_deletes_alarm dont_substitute_null_on_type_error durable_object_alarms
		durable_object_fetch_requires_full_url enable_ctx_exports enable_fast_jsg_struct enable_navigator_language enable_weak_ref
		export_commonjs_default fetch_refuses_unknown_protocols fetch_standard_url fetcher_no_get_put_delete
		fixup-transform-stream-backpressure formdata_parser_supports_files global_navigator
		handle_cross_request_promise_resolution http_headers_getsetcookie internal_stream_byob_return_view js_rpc
		minimal_subrequests no_cf_botmanagement_default no_cots_on_external_fetch no_global_importscripts no_nodejs_compat no_nodejs_compat_v2 nodejs_als nodejs_compat
		nodejs_compat_v2 response_redirect_url_standard rpc rpc_params_dup_stubs set_event_target_this set_tostring_tag
		streams_byob_reader_detaches_buffer streams_enable_constructors strict_crypto_checks strip_bom_in_read_all_text
		tcp_sockets_support transformstream_enable_standard_constructor unique_ctx_per_invocation unwrap_custom_thenables
		url_standard urlpattern_standard urlsearchparams_delete_has_value_arg workers_api_getters_setters_on_prototype`) {
		all[flag] = true
	}
	return all
}()

const flagHelp = "Remove it, and see in docs/runtime.md whether the code finds what it needs."

// flags reads compatibility_flags. A flag that asks for another behaviour than there is would be a lie if it were taken.
func (r *wranglerReader) flags(s *setting) {
	r.list(s, func(item *setting) {
		flag := r.text(item)
		if flag == "" {
			return
		}
		if !compatibleAlways[flag] {
			known := make([]string, 0, len(compatibleAlways))
			for name := range compatibleAlways {
				known = append(known, name)
			}
			help := flagHelp
			if meant := nearest(flag, known); meant != "" && !strings.HasPrefix(flag, "no_") {
				help = "Is " + meant + " meant?"
			}
			r.fail(item, "the compatibility flag "+flag+" asks for something that is not built", help)
			return
		}
		r.out.CompatibilityFlags = append(r.out.CompatibilityFlags, flag)
	})
}
