// run calls a case and returns what it gives, or the code of what it throws, as text.
export async function run(test) {
	try {
		return show(await test());
	} catch (err) {
		return "throws " + (err?.code ?? err?.name ?? String(err));
	}
}

function show(value) {
	return JSON.stringify(value, (key, v) => v === undefined ? "[undefined]" : typeof v === "bigint" ? `${v}n` : typeof v === "number" && !Number.isFinite(v) || Object.is(v, -0) ? `[${Object.is(v, -0) ? "-0" : v}]` : v) ?? "undefined";
}
