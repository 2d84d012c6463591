// The list of records: those that come, and those before.
import { el, ask, ms, usd, time, mood, number, notice } from "./dom.js";

const most = 500; // rows in the document; what is older is a click away

const fields = [
	["text", "Text", "input"], ["agent", "Agent", "input"], ["status", "Status", "input"], ["ip", "Client", "input"], ["actor", "Actor", "input"],
	["outcome", "Outcome", ["", "ok", "exception", "exceededCpu", "exceededMemory", "exceededWallTime", "canceled", "refused", "loadShed"]],
	["kind", "Kind", ["", "fetch", "call", "alarm", "scheduled", "websocket", "step", "tail", "activate"]],
];

export async function live(main, params) {
	const filter = {};
	for (const [name] of fields) filter[name] = params.get(name) ?? "";
	const set = (name, value) => {
		const q = new URLSearchParams();
		for (const [n] of fields) if ((n === name ? value : filter[n])) q.set(n, n === name ? value : filter[n]);
		location.hash = q.size ? `#/live?${q}` : "#/live";
	};
	const body = el("tbody");
	const told = el("span.soft", { role: "status" });
	let paused = false, held = [], missed = 0, oldest = 0, source = null;
	const pause = el("button", { type: "button", "aria-pressed": "false", onclick: () => {
		paused = !paused;
		pause.setAttribute("aria-pressed", paused);
		pause.textContent = paused ? "Go on" : "Pause";
		if (!paused) show(held.splice(0));
		tell();
	} }, "Pause");
	const older = el("button", { type: "button", onclick: more }, "Older");
	main.append(
		el("h1", "Live"),
		el("div.bar",
			fields.map(([name, label, kind]) => {
				const input = kind === "input"
					? el("input", { type: "text", value: filter[name], size: name === "text" ? 18 : 10, spellcheck: "false", autocomplete: "off" })
					: el("select", kind.map(v => el("option", { value: v, selected: v === filter[name] }, v || "any")));
				input.addEventListener("change", () => set(name, input.value.trim()));
				return el("label", label, input);
			}),
			el("div.end", told, " ", pause)),
		el("div.scroll", { tabindex: "0", role: "region", "aria-label": "Records" }, el("table",
			el("caption.hidden", "Records, the newest first"),
			el("thead", el("tr", ["Time", "Status", "Outcome", "Agent", "Request"].map(h => el("th", { scope: "col" }, h)),
				el("th.wide", { scope: "col" }, "Client"), ["Score", "Calls", "Took", "Cost"].map(h => el("th.num", { scope: "col" }, h)))),
			body)),
		el("p", older));

	function row(r, fresh) {
		return el(fresh ? "tr.new" : "tr", { "data-id": r.id },
			el("td.mono", el("a", { href: `#/record/${r.id}` }, time(r.time))),
			el("td", el(`span.${mood(r)}`, r.status || "–")),
			el("td", el(`span.${mood(r)}`, r.refused ? `refused: ${r.refused}` : r.outcome)),
			el("td", r.agent ?? "", r.from && el("span.soft", ` from ${r.from}`)),
			el("td.path.mono", r.kind === "fetch" ? `${r.method ?? ""} ${r.site ?? ""}${r.path ?? ""}` : `${r.kind} ${r.method ?? ""} ${r.path ?? ""}`),
			el("td.wide.mono", r.ip ?? ""),
			el("td.num", r.score || ""),
			el("td.num", r.calls || "", r.refusals ? el("span.bad", ` ${r.refusals} refused`) : null),
			el("td.num", ms(r.ms)),
			el("td.num", usd(r.cost)));
	}
	function show(rows) {
		const seen = new Set([...body.children].slice(0, 200).map(r => r.dataset.id));
		body.prepend(...rows.filter(r => !seen.has(r.id)).reverse().map(r => row(r, true)));
		while (body.children.length > most) body.lastChild.remove();
	}
	function tell() {
		told.textContent = [
			paused && held.length ? `${number.format(held.length)} new` : "",
			missed ? `${number.format(missed)} more came than are shown` : "",
		].filter(Boolean).join(", ");
	}
	async function more() {
		try {
			const got = await ask("records", { ...filter, before: oldest || "" });
			const there = new Set([...body.children].map(r => r.dataset.id));
			body.append(...got.rows.filter(r => !there.has(r.id)).map(r => row(r)));
			if (got.rows.length) oldest = got.rows.at(-1).n;
			older.hidden = got.rows.length < 100;
			if (!body.children.length) notice("No record yet. They appear as requests end.");
		} catch (e) {
			notice(e.message);
		}
	}
	function follow() {
		const q = new URLSearchParams(Object.entries(filter).filter(([, v]) => v));
		source = new EventSource(`api/live?${q}`);
		source.onmessage = m => {
			const got = JSON.parse(m.data);
			missed += got.missed;
			if (paused) {
				held.push(...got.rows);
				held = held.slice(-most);
			} else {
				if (got.rows.length) notice("");
				show(got.rows);
			}
			tell();
		};
		let lost = false;
		return new Promise(opened => {
			source.onerror = () => {
				lost = true;
				notice("The server does not answer; this goes on when it does.");
				opened();
			};
			source.onopen = () => {
				if (lost) notice("");
				lost = false;
				opened();
			};
		});
	}
	await follow(); // first, so that nothing is missed between the two
	await more();
	return () => source.close();
}
