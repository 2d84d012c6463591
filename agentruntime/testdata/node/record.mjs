// Records what Node.js itself answers to the cases of the files here, for TestNodeCases: node record.mjs [FILE...]
import { readdirSync, writeFileSync } from "node:fs";
import { run } from "./run.js";

const here = new URL(".", import.meta.url);
const files = process.argv.length > 2 ? process.argv.slice(2) : readdirSync(here).filter((name) => name.endsWith(".js") && name !== "run.js");
for (const file of files) {
	const { cases } = await import(new URL(file, here));
	const results = {};
	for (const name of Object.keys(cases)) {
		results[name] = await run(cases[name]);
	}
	writeFileSync(new URL(file.replace(/\.js$/, ".json"), here), JSON.stringify(results, null, "\t") + "\n");
}
