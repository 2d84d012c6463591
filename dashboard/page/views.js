// The views that are tables.
import { el, ask, ms, bytes, usd, time, number, table, notice } from "./dom.js";

const link = id => el("a", { href: `#/record/${id}` }, "show");

export async function refusals(main) {
	const [list, { events, health }] = await Promise.all([ask("refusals"), ask("unusual")]);
	main.append(
		el("h1", "Refused and unusual"),
		table("What was refused, by rule, in the records that are kept", ["Stage", "Rule", "Agent", "#Times", "Last", "Record"],
			list.map(r => [r.stage, r.rule, r.agent ?? "", number.format(r.count), time(r.at), link(r.last)]), "Nothing was refused."),
		el("h2", "Unusual calls"),
		table("Unusual calls of late", ["Time", "Kind", "Agent", "What", "Record"],
			events.reverse().map(e => [time(e.time, true), e.kind, e.agent, e.what, link(e.record)]), "Nothing unusual has been seen since the server started."),
		el("h2", "What this server lost"),
		table("Since the start; each should be 0", ["What", "#Count"], health.map(h => [h.name, el(`span.${h.value ? "bad" : "good"}`, number.format(h.value))]), ""));
}

export async function actors(main, params) {
	const namespaces = await ask("namespaces");
	const chosen = params.get("namespace") ?? "";
	main.append(el("h1", "Actors"),
		table("Classes of actors", ["Class", "#Actors", "#Stored"], namespaces.map(n => [
			el("a", { href: `#/${n.workflow ? "workflows" : "actors"}?namespace=${encodeURIComponent(n.name)}` }, n.name), `${number.format(n.actors)}${n.more ? "+" : ""}`, bytes(n.bytes)]),
		"No agent has actors."));
	if (chosen) await page(main, chosen, "", a => [el("code", a.id.slice(0, 16)), a.name ?? "", number.format(a.entries), bytes(a.bytes), a.alarm ? time(a.alarm, true) : "",
		el("a", { href: `#/live?actor=${a.id}` }, "its records")]);
}

async function page(main, namespace, after, cells) {
	const got = await ask("actors", { namespace, after });
	main.append(el("h2", namespace), table(`Actors of ${namespace}`, ["Id", "Name", "#Entries", "#Stored", "Alarm", ""], got.actors.map(cells), "None stores anything."));
	if (got.next) {
		const more = el("button", { type: "button", onclick: () => { more.remove(); page(main, namespace, got.next, cells).catch(e => notice(e.message)); } }, "More");
		main.append(more);
	}
}

export async function workflows(main, params) {
	const namespaces = (await ask("namespaces")).filter(n => n.workflow);
	main.append(el("h1", "Workflows"));
	if (!namespaces.length) {
		main.append(el("p.soft", "No agent has a workflow."));
		return;
	}
	const chosen = params.get("namespace") ?? namespaces[0].name, id = params.get("id");
	main.append(table("Workflows", ["Workflow", "#Instances", "#Stored"], namespaces.map(n => [
		el("a", { href: `#/workflows?namespace=${encodeURIComponent(n.name)}` }, n.name), `${number.format(n.actors)}${n.more ? "+" : ""}`, bytes(n.bytes)]), ""));
	if (id) {
		const w = await ask("workflow", { namespace: chosen, id });
		main.append(el("h2", w?.name || id));
		main.append(w ? el("div", el("p", "Status: ", el("strong", w.status)),
			table("Steps", ["Step", "Kind", "State"], w.steps.map(s => [s.name, s.kind, el(`span.${s.state === "done" ? "good" : s.state === "failed" ? "bad" : "warn"}`, s.state)]), "No step was taken yet."),
			el("p", el("a", { href: `#/live?actor=${id}` }, "Its records"))) : el("p.soft", "There is no such instance any more."));
		return;
	}
	await page(main, chosen, "", a => [el("a", { href: `#/workflows?namespace=${encodeURIComponent(chosen)}&id=${a.id}` }, el("code", a.id.slice(0, 16))), a.name ?? "", number.format(a.entries),
		bytes(a.bytes), a.alarm ? time(a.alarm, true) : "", el("a", { href: `#/live?actor=${a.id}` }, "its records")]);
}

export async function budgets(main) {
	const { budgets, spent } = await ask("budgets");
	main.append(el("h1", "Budgets and costs"),
		table("Throttle zones and budgets, as the records that are kept have them", ["Kind", "Name", "#Limit", "#Left", "#Least left", "#Asked", "#Refused", "Last", "Record"],
			budgets.map(b => [b.kind, b.name, b.limit ? number.format(b.limit) : "", b.limit ? number.format(b.remaining) : "", b.limit ? number.format(b.least) : "", number.format(b.asked), b.refused ? el("span.bad", number.format(b.refused)) : "", time(b.at), link(b.last)]),
			"No zone and no budget was asked."),
		el("h2", "Models"),
		table("What models cost, by the price table", ["Agent", "Model", "#Answers", "#Input tokens", "#Output tokens", "#Cost"],
			spent.map(s => [s.agent, s.model, number.format(s.answers), number.format(s.input_tokens), number.format(s.output_tokens), usd(s.cost_usd)]), "No model was asked."));
}

export async function approvals(main, params) {
	const all = params.get("all") ?? "";
	const list = await ask("approvals", { all });
	const decide = (a, decision) => el("button", { type: "button", onclick: async () => {
		try {
			await ask("approvals", {}, { method: "POST", headers: { "Content-Type": "application/json", "X-Gatehouse": "decide" }, body: JSON.stringify({ agent: a.agent, host: a.host, decision }) });
			notice(`${a.host} was ${decision === "grant" ? "granted to" : "denied to"} ${a.agent}.`);
			main.replaceChildren();
			await approvals(main, params);
		} catch (e) {
			notice(e.message);
		}
	} }, decision === "grant" ? "Grant" : "Deny", el("span.hidden", ` ${a.host} to ${a.agent}`));
	main.append(el("h1", "Approvals"),
		el("p", all ? el("a", { href: "#/approvals" }, "Only what waits") : el("a", { href: "#/approvals?all=1" }, "Everything that is remembered")),
		table("Hosts that agents want to call", ["Agent", "Host", "State", "Since", "Decide"],
			list.map(a => [a.agent, a.host, a.state, time(a.since, true), [decide(a, "grant"), " ", decide(a, "deny")]]), "Nothing waits for a decision."));
}

export async function versions(main) {
	const { agents, versions } = await ask("agents");
	main.append(el("h1", "Agents and versions"),
		table("Agents in charge", ["Agent", "Version", "Code", "Runs in", "Handles", "Actors", "Cron", "Egress", "Callers"],
			agents.map(a => [el("a", { href: `#/live?agent=${encodeURIComponent(a.name)}` }, a.name), el("code", a.version), el("span.mono", a.main), a.isolation, (a.handlers ?? []).join(", "), (a.classes ?? []).join(", "),
				(a.crons ?? []).join(", "), a.egress || "none", (a.callers ?? []).join(", ") || "any"]), "No agent is configured."),
		el("h2", "How versions did"),
		table("In the records that are kept", ["Agent", "Version", "#Runs", "#Failed", "#On average", "#CPU", "First", "Last"],
			versions.map(v => [v.agent, el("code", v.version), number.format(v.runs), v.failed ? el("span.bad", `${number.format(v.failed)} (${(100 * v.failed / v.runs).toFixed(1)} %)`) : "0",
				ms(v.ms / v.runs), ms(v.cpu / v.runs), time(v.first, true), time(v.last, true)]), "No agent has run."));
}
