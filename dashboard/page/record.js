// One record: what was known, decided and done, and when.
import { el, add, ask, ms, bytes, usd, time, mood, facts, table, notice } from "./dom.js";

export async function record(main, params, id) {
	const { record: r, trace } = await ask(`records/${encodeURIComponent(id)}`);
	const out = { refused: r.decided.refused_by, outcome: r.out.outcome, status: r.out.status };
	add(main,
		el("h1", `${r.method ?? r.kind} ${r.site ?? ""}${r.path ?? ""}`),
		el("p", el(`span.tag.${mood(out)}`, out.refused ? `refused by ${out.refused}` : out.outcome), " ", r.out.status ? `status ${r.out.status}, ` : "",
			ms(r.out.wall_ms), ", ", time(r.time, true)),
		el("h2", "When"), fall(r),
		el("div.columns",
			el("section", el("h2", "What"), facts(
				["Record", el("code", r.id)], ["Trace", el("code", r.trace_id ?? r.id)], ["Kind", r.kind], ["Agent", r.agent], ["Version", r.version && el("code", r.version)],
				["Actor", r.actor && el("code", r.actor)], ["Attempt", r.attempt],
				["Came through", r.chain && [...r.chain.map(hop), r.agent].join(" → ")])),
			el("section", el("h2", "Who"), facts(
				["Client", r.who.client_ip], ["User agent", r.who.user_agent], ["Verified agent", r.who.verified_agent], ["Verified bot", r.who.verified_bot],
				["Subject", r.who.subject], ["JA4", r.who.ja4 && el("code", r.who.ja4)],
				["Bot score", r.who.bot_score && `${r.who.bot_score} ${(r.who.bot_reasons ?? []).join(", ")}`])),
			el("section", el("h2", "Decided"), decided(r)),
			el("section", el("h2", "Came out"), facts(
				["Status", r.out.status], ["Outcome", r.out.outcome], ["CPU", ms(r.out.cpu_ms)], ["Bytes", bytes(r.out.bytes)], ["Subrequests", r.out.subrequests],
				["Cost", usd(r.out.cost_usd)], ["Storage", storage(r.did.storage)], ["Data points", r.did.points],
				["Log lines dropped", r.out.logs_dropped], ["Left out", r.dropped && `${r.dropped} calls or tools that the record has no room for`]))),
		calls(r.did.calls ?? []), tools(r.did.tools ?? []), models(r.did.models ?? []),
		r.did.exceptions && [el("h2", "Exceptions"), r.did.exceptions.map(x => el("pre.bad", x.stack || `${x.name}: ${x.message}`))],
		r.did.logs && [el("h2", "Logs"), table("What the code logged", ["Time", "Level", "Message"],
			r.did.logs.map(l => [time(l.time), el(`span.${l.level === "error" ? "bad" : l.level === "warn" ? "warn" : "soft"}`, l.level), el("span.mono", l.message)]))],
		...(trace.length > 1 ? [el("h2", "The same trace"), table("Records of this trace", ["Time", "What", "Agent", "Outcome", "#Took"],
			trace.map(t => [time(t.time), t.id === r.id ? el("strong", name(t)) : el("a", { href: `#/record/${t.id}` }, name(t)), t.agent ?? "",
				el(`span.${mood({ refused: t.decided.refused_by, outcome: t.out.outcome, status: t.out.status })}`, t.out.outcome), ms(t.out.wall_ms)]))] : []),
		el("details", el("summary", "As JSON"), el("pre", JSON.stringify(r, null, 2))));
	notice("");
}

const hop = h => `${h.agent}${h.entry ? `/${h.entry}` : ""}${h.actor ? ` (${h.actor.slice(0, 12)})` : ""}${h.site ? ` at ${h.site}` : ""}`;
const name = t => `${t.kind} ${t.method ?? ""} ${t.path ?? ""}`;

function storage(s) {
	return Object.entries({ reads: s.reads, writes: s.writes, "SQL statements": s.sql, KV: s.kv, cache: s.cache }).filter(([, n]) => n).map(([k, n]) => `${n} ${k}`).join(", ");
}

function decided(r) {
	const d = r.decided;
	return facts(
		...(d.throttle ?? []).map(z => [`Zone ${z.zone}`, el(`span.${z.allowed ? "good" : "bad"}`, `${z.allowed ? "allowed" : "full"}, ${z.remaining} of ${z.limit} left`)]),
		...(d.budgets ?? []).map(b => [`Budget ${b.budget}`, el(`span.${b.allowed ? "good" : "bad"}`, `${b.cost || b.reserved} spent, ${b.remaining} of ${b.limit} left${b.cut ? ", cut" : ""}`)]),
		["Identity", d.identity], ["Bot", d.bot && `${d.bot}${d.bot_tag ? ` (${d.bot_tag})` : ""}`], ["Challenge", d.challenge],
		["WAF", d.waf && [`${d.waf.action}, score ${d.waf.score}`, (d.waf.rules ?? []).map(x => el("div", `${x.id} ${x.message ?? ""} ${x.severity ?? ""}`))]],
		["Access", d.access],
		...(d.shadow ?? []).map(s => [`${s.stage} in shadow`, el("span.warn", `would answer ${s.status}: ${s.reason}`)]),
		["Refused by", d.refused_by && el("span.bad", d.refused_by)]);
}

// fall is the waterfall: every stage, call, tool and model on one line of time.
function fall(r) {
	const whole = Math.max(r.out.wall_ms, 0.01);
	const stages = r.decided.stages ?? [];
	const rows = [];
	stages.forEach((s, i) => rows.push({
		name: s.name, kind: s.name === r.decided.refused_by ? "refused" : "stage", start: s.at_ms, ms: Math.max(0, (stages[i + 1]?.at_ms ?? whole) - s.at_ms),
		text: s.name === r.decided.refused_by ? "refused" : "",
	}));
	for (const c of r.did.calls ?? []) rows.push({
		name: `${c.agent ? `${c.agent}: ` : ""}${c.kind} ${c.method ?? ""} ${c.host ?? ""}`, kind: c.decision === "refuse" ? "refused" : "call", start: c.start_ms, ms: c.ms, inner: true,
		text: c.decision === "refuse" ? `refused: ${c.rule}` : c.error ?? c.status ?? "",
	});
	for (const t of r.did.tools ?? []) rows.push({ name: `${t.agent ? `${t.agent}: ` : ""}tool ${t.name}`, kind: t.error ? "refused" : "tool", start: t.start_ms, ms: t.ms, inner: true, text: t.error ?? t.kind });
	for (const m of r.did.models ?? []) rows.push({ name: `model ${m.model}`, kind: "model", start: m.start_ms, ms: m.ms, inner: true, text: `${m.input_tokens} + ${m.output_tokens} tokens` });
	if (!rows.length) rows.push({ name: r.agent || r.kind, kind: "stage", start: 0, ms: whole, text: "" });
	const head = rows.filter(x => !x.inner), rest = rows.filter(x => x.inner).sort((a, b) => a.start - b.start);
	const span = Math.max(whole, ...rows.map(x => x.start + x.ms));
	return el("div.fall", { role: "list", "aria-label": `Waterfall over ${ms(span)}` }, [...head, ...rest].map(x => {
		const mark = el(`div.fall-mark.${x.kind}`);
		mark.style.left = `${Math.min(99.7, 100 * x.start / span)}%`;
		mark.style.width = `${Math.min(100 - 100 * x.start / span, 100 * x.ms / span)}%`;
		return el(x.inner ? "div.fall-row.inner" : "div.fall-row", { role: "listitem" },
			el("div.fall-name", { title: x.name }, x.name, " ", x.text !== "" && el(`span.${x.kind === "refused" ? "bad" : "soft"}`, x.text)),
			el("div.fall-line", mark),
			el("div.fall-time", el("span.hidden", `from ${ms(x.start)}, `), ms(x.ms)));
	}));
}

function calls(list) {
	return list.length ? [el("h2", "Calls"), table("What was called", ["Call", "Decision", "Answer", "#Out", "#In", "#Took"], list.map(c => [
		el("span.mono", `${c.agent ? `${c.agent}: ` : ""}${c.kind} ${c.method ?? ""} ${c.host ?? ""} ${c.actor ? c.actor.slice(0, 12) : ""}`),
		c.decision ? el(`span.${c.decision === "refuse" ? "bad" : c.decision === "allow" ? "good" : "warn"}`, `${c.decision}: ${c.rule ?? ""}`) : "",
		[c.status ?? "", c.error && el("div.bad", c.error), c.first && el("div.warn", "first call of this host"),
			c.injected && el("div.soft", `with ${c.injected.join(", ")}`), c.found && el("div.warn", c.found.join(", "))],
		c.bytes_out ? bytes(c.bytes_out) : "", c.bytes_in ? bytes(c.bytes_in) : "", ms(c.ms)]))] : null;
}

function tools(list) {
	return list.length ? [el("h2", "Tools"), table("Tools that were called or asked for", ["Tool", "Seen as", "Arguments", "Result", "#Took"], list.map(t => [
		`${t.agent ? `${t.agent}: ` : ""}${t.name}`, `${t.kind}${t.direction === "in" ? ", called as" : ""}${t.host ? ` at ${t.host}` : ""}`, el("span.mono", t.arguments ?? ""),
		t.error ? el("span.bad", t.error) : el("span.mono", t.result ?? ""), ms(t.ms)]))] : null;
}

function models(list) {
	return list.length ? [el("h2", "Models"), table("Answers of models", ["Model", "Host", "#Input", "#Cached", "#Output", "#Cost", "#Took"], list.map(m => [
		m.model, m.host ?? "", m.input_tokens, m.cached_tokens ?? "", m.output_tokens, usd(m.cost_usd), ms(m.ms)]))] : null;
}
