// Making elements, asking the server, and writing numbers. No markup is ever made of text: what a client or an agent has sent stays
// text.

// el makes an element: el("a.soft", { href: "#x" }, "text", child). Properties that begin with "on" are listeners.
export function el(kind, ...parts) {
	const [tag, ...classes] = kind.split(".");
	const e = document.createElement(tag);
	if (classes.length) e.className = classes.join(" ");
	fill(e, parts);
	return e;
}

// svg is el for SVG.
export function svg(kind, ...parts) {
	const [tag, ...classes] = kind.split(".");
	const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
	if (classes.length) e.setAttribute("class", classes.join(" "));
	fill(e, parts);
	return e;
}

// add appends parts as el does.
export function add(e, ...parts) {
	fill(e, parts);
}

function fill(e, parts) {
	for (const p of parts.flat(Infinity)) {
		if (p === null || p === undefined || p === false) continue;
		if (p instanceof Node) e.append(p);
		else if (typeof p === "object") {
			for (const [name, value] of Object.entries(p)) {
				if (value === undefined || value === null || value === false) continue;
				if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
				else e.setAttribute(name, value === true ? "" : value);
			}
		} else e.append(String(p));
	}
}

// ask gets JSON from the server, relative to the page.
export async function ask(path, params = {}, init = {}) {
	const q = new URLSearchParams();
	for (const [name, value] of Object.entries(params)) if (value !== undefined && value !== null && value !== "") q.set(name, value);
	const resp = await fetch(`api/${path}${q.size ? `?${q}` : ""}`, init);
	const text = await resp.text();
	let body;
	try {
		body = JSON.parse(text);
	} catch {
		throw new Error(resp.ok ? "The server's answer is no JSON." : `The server answered ${resp.status}.`);
	}
	if (!resp.ok) throw new Error(body.error ?? body.detail ?? `The server answered ${resp.status}.`);
	return body;
}

export const number = new Intl.NumberFormat("en");

export function ms(v) {
	if (v === undefined || v === null) return "";
	if (v >= 10_000) return `${(v / 1000).toFixed(1)} s`;
	return `${v >= 100 ? v.toFixed(0) : v >= 1 ? v.toFixed(1) : v.toFixed(2)} ms`;
}

export function bytes(n) {
	if (!n) return "0 B";
	const i = Math.min(4, Math.floor(Math.log2(n) / 10));
	return `${(n / 1024 ** i).toFixed(i && n / 1024 ** i < 10 ? 1 : 0)} ${["B", "KiB", "MiB", "GiB", "TiB"][i]}`;
}

export function usd(v) {
	return v ? `$${v >= 1 ? v.toFixed(2) : v >= 0.001 ? v.toFixed(4) : v.toPrecision(2)}` : "";
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });
const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export function time(text, whole = false) {
	const at = new Date(text);
	return el("time", { datetime: text, title: at.toISOString() }, (whole ? day : clock).format(at));
}

// mood is the colour of an outcome.
export function mood(r) {
	if (r.refused || r.outcome === "refused") return "warn";
	if (r.outcome !== "ok" && r.outcome !== "canceled" || r.status >= 500) return "bad";
	return r.status >= 400 ? "warn" : "good";
}

// table makes a table: heads are texts, a text that begins with # is a column of numbers. rows are lists of what stands in the cells.
export function table(caption, heads, rows, empty) {
	if (!rows.length) return el("p.soft", empty);
	return el("div.scroll", { tabindex: "0", role: "region", "aria-label": caption }, el("table",
		el("caption", caption),
		el("thead", el("tr", heads.map(h => el(h.startsWith("#") ? "th.num" : "th", { scope: "col" }, h.replace(/^#/, ""))))),
		el("tbody", rows.map(cells => el("tr", cells.map((c, i) => el(heads[i].startsWith("#") ? "td.num" : "td", c)))))));
}

// facts makes a list of names and values, without those that have none.
export function facts(...pairs) {
	return el("dl.facts", pairs.filter(([, v]) => v !== undefined && v !== null && v !== "" && v !== false).map(([k, v]) => [el("dt", k), el("dd", v)]));
}

export function notice(text) {
	const p = document.getElementById("notice");
	p.hidden = !text;
	p.textContent = text ?? "";
}
