// The attacks that guards refuse, by ways that name no method, so that there is no guard: only the process holds them.

const at = (o: any, ...parts: string[]) => o[parts.join("")];
const by = (o: any, ...parts: string[]) => at(o, ...parts).bind(o);
const world: any = at(Object, "const", "ructor")("return this")();
const json = at(world, "JS", "ON");
const long = (s: string, n: number) => by(s, "rep", "eat")(n);

const attacks: Record<string, () => unknown> = {
	json: () => by(json, "parse")(long("[", 1e7)),
	eval: () => at(world, "ev", "al")(long("[", 1e7)),
	function: () => at(world, "Func", "tion")("return " + long("(", 1e7)),
	flat: () => { let a: unknown[] = []; for (let i = 0; i < 1e7; i++) a = [a]; return by(a, "fl", "at")(Infinity); },
	copies: () => long("x", 1e9),
	padding: () => by("x", "pad", "End")(2e9),
	filling: () => by(Array(1e9), "fi", "ll")(0),
	from: () => by(Array, "fr", "om")({ length: 1e8 }),
};

export default {
	fetch(request: Request): Response {
		const name = new URL(request.url).pathname.split("/")[2];
		return new Response(name === "fine" ? "fine" : typeof attacks[name]());
	},
};
