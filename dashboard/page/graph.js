// Who called whom: clients on the left, agents in the middle, and what they call on the right.
import { el, svg, ask, ms, number, table } from "./dom.js";

const shown = 40; // nodes a column; the table has them all

export async function graph(main) {
	const edges = await ask("graph");
	main.append(el("h1", "Who calls whom"));
	if (!edges.length) {
		main.append(el("p.soft", "No agent has run in the records that are kept."));
		return;
	}
	const agents = new Set(edges.filter(e => e.kind === "client").map(e => e.to).concat(edges.filter(e => e.kind !== "client").map(e => e.from), edges.filter(e => e.kind === "service").map(e => e.to)));
	const columns = [new Map(), new Map(), new Map()];
	const node = (column, key, label, n) => {
		const was = columns[column].get(key);
		columns[column].set(key, { label, n: (was?.n ?? 0) + n });
	};
	const place = e => e.kind === "client"
		? [[0, e.from], [1, e.to]]
		: [[1, e.from], e.kind === "service" && agents.has(e.to) ? [1, e.to] : [2, `${e.kind} ${e.to}`]];
	for (const e of edges) {
		const [a, b] = place(e);
		node(a[0], a[1], a[1], e.calls);
		node(b[0], b[1], b[0] === 2 ? b[1] : b[1], e.calls);
	}
	const lists = columns.map(c => [...c].sort((a, b) => b[1].n - a[1].n).slice(0, shown));
	const height = 60 + 34 * Math.max(...lists.map(l => l.length));
	const width = 1000, x = [20, 390, 720], w = [200, 200, 260];
	const at = lists.map((l, c) => new Map(l.map(([key], i) => [key, { x: x[c], y: 44 + i * 34 + (height - 60 - 34 * l.length) / 2 }])));
	const most = Math.max(...edges.map(e => e.calls));
	const drawing = svg("svg.graph", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "A graph of clients, agents and what they call. The table below says the same." });
	["Clients", "Agents", "What they call"].forEach((t, c) => drawing.append(svg("text.heading", { x: x[c], y: 22 }, t)));
	for (const e of edges) {
		const [a, b] = place(e), from = at[a[0]].get(a[1]), to = at[b[0]].get(b[1]);
		if (!from || !to) continue;
		const x1 = from.x + w[a[0]], y1 = from.y + 12, y2 = to.y + 12;
		const d = a[0] === b[0] ? `M${x1} ${y1} C${x1 + 70} ${y1} ${x1 + 70} ${y2} ${x1} ${y2}` : `M${x1} ${y1} C${x1 + 80} ${y1} ${to.x - 80} ${y2} ${to.x} ${y2}`;
		drawing.append(svg(`path${e.refused ? ".refused" : e.failed ? ".failed" : ""}`, { d, "stroke-width": 1 + 5 * Math.log1p(e.calls) / Math.log1p(most) },
			svg("title", `${e.from} → ${e.to}: ${e.calls} ${e.kind}, ${e.refused} refused, ${e.failed} failed`)));
	}
	lists.forEach((l, c) => l.forEach(([key, n]) => {
		const p = at[c].get(key), text = n.label.length > w[c] / 8 ? `${n.label.slice(0, w[c] / 8)}…` : n.label;
		drawing.append(svg("rect", { x: p.x, y: p.y, width: w[c], height: 24, rx: 4 }), svg("text", { x: p.x + 8, y: p.y + 16 }, text, svg("title", n.label)));
	}));
	main.append(drawing, el("h2", "The same as a table"), table("Calls in the records that are kept", ["From", "To", "Kind", "#Calls", "#Failed", "#Refused", "#On average"],
		edges.map(e => [agents.has(e.from) ? el("a", { href: `#/live?agent=${encodeURIComponent(e.from)}` }, e.from) : e.from,
			e.kind === "egress" || e.kind === "tool" ? el("a", { href: `#/live?text=${encodeURIComponent(e.to)}` }, e.to) : e.to, e.kind, number.format(e.calls), e.failed || "",
			e.refused ? el("span.bad", number.format(e.refused)) : "", ms(e.ms / e.calls)])));
}
