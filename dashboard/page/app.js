// The page: which view is shown, and the keys.
import { el, notice } from "./dom.js";
import { live } from "./live.js";
import { record } from "./record.js";
import { graph } from "./graph.js";
import { refusals, actors, workflows, budgets, approvals, versions } from "./views.js";

const views = [
	["live", "Live", "l", live], ["graph", "Graph", "g", graph], ["refusals", "Refusals", "r", refusals], ["actors", "Actors", "a", actors],
	["workflows", "Workflows", "w", workflows], ["budgets", "Budgets", "b", budgets], ["approvals", "Approvals", "p", approvals], ["versions", "Versions", "v", versions],
];
const main = document.getElementById("main");
const find = document.getElementById("find");
let leave = null, turn = 0;

document.getElementById("views").append(...views.map(([name, label]) => el("li", el("a", { href: `#/${name}`, "data-view": name }, label))));

async function show() {
	const mine = ++turn;
	leave?.();
	leave = null;
	const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
	const [name, id] = path.split("/");
	const params = new URLSearchParams(query);
	const view = name === "record" ? record : (views.find(v => v[0] === name) ?? views[0])[3];
	for (const a of document.querySelectorAll("[data-view]")) {
		if (a.dataset.view === (name || "live")) a.setAttribute("aria-current", "page");
		else a.removeAttribute("aria-current");
	}
	document.title = `${name || "live"} – Gatehouse`;
	find.value = params.get("text") ?? "";
	notice("");
	const part = document.createElement("div");
	main.replaceChildren(part);
	try {
		const left = await view(part, params, id);
		if (mine !== turn) left?.();
		else leave = left;
	} catch (e) {
		if (mine === turn) notice(e.message);
	}
	main.setAttribute("aria-busy", "false");
	main.dataset.shown = location.hash;
}

addEventListener("hashchange", () => {
	main.focus({ preventScroll: true });
	scrollTo(0, 0);
	show();
});

document.getElementById("search").addEventListener("submit", e => {
	e.preventDefault();
	const text = find.value.trim();
	location.hash = /^[0-9a-f]{32}$/.test(text) ? `#/record/${text}` : text ? `#/live?text=${encodeURIComponent(text)}` : "#/live";
});

// The theme is the system's until somebody chooses.
const themes = ["system", "light", "dark"];
let theme = "system";
try {
	theme = localStorage.getItem("gatehouse-theme") ?? "system";
} catch {} // storage may be off
const button = document.getElementById("theme");
function paint() {
	if (theme === "system") delete document.documentElement.dataset.theme;
	else document.documentElement.dataset.theme = theme;
	button.textContent = `Theme: ${theme}`;
}
button.addEventListener("click", () => {
	theme = themes[(themes.indexOf(theme) + 1) % themes.length];
	try {
		localStorage.setItem("gatehouse-theme", theme);
	} catch {}
	paint();
});
paint();

const help = document.getElementById("help");
document.getElementById("help-keys").append(...[
	["/", "search"], ["j, k", "the next and the row before"], ["Enter", "open the row"], ["Escape", "back"], ["t", "theme"], ["?", "these keys"],
	...views.map(([, label, key]) => [`g ${key}`, label]),
].map(([k, what]) => [el("dt", el("kbd", k)), el("dd", what)]).flat());
document.getElementById("keys").addEventListener("click", () => help.showModal());

let gone = 0; // when g was pressed
function move(step) {
	const rows = [...main.querySelectorAll("tbody tr")];
	if (!rows.length) return;
	const at = rows.findIndex(r => r.classList.contains("here"));
	const next = rows[Math.max(0, Math.min(rows.length - 1, at + step))];
	rows[at]?.classList.remove("here");
	next.classList.add("here");
	next.scrollIntoView({ block: "nearest" });
	next.querySelector("a, button")?.focus({ preventScroll: true });
}
addEventListener("keydown", e => {
	if (e.ctrlKey || e.metaKey || e.altKey || help.open) return;
	const typing = e.target.closest?.("input, select, textarea");
	if (e.key === "Escape") {
		if (typing) e.target.blur();
		else history.back();
		return;
	}
	if (typing) return;
	if (e.timeStamp - gone < 1500) {
		gone = 0;
		const view = views.find(v => v[2] === e.key);
		if (view) location.hash = `#/${view[0]}`;
		return;
	}
	switch (e.key) {
	case "/":
		e.preventDefault();
		find.focus();
		find.select();
		break;
	case "j": move(1); break;
	case "k": move(-1); break;
	case "g": gone = e.timeStamp; break;
	case "t": button.click(); break;
	case "?": help.showModal(); break;
	}
});

show();
