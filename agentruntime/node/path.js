// node:path (https://nodejs.org/api/path.html), in both of its kinds. The working directory is always /bundle, as in Workers.
const { needString, needObject } = require("internal_errors");

const cwd = "/bundle";

// resolved takes . and .. out of the parts of a path. Beyond the root of an absolute path there is nothing.
function resolved(parts, absolute) {
	const out = [];
	for (const part of parts) {
		if (part === "" || part === ".") {
			continue;
		}
		if (part !== "..") {
			out.push(part);
		} else if (out.length > 0 && out.at(-1) !== "..") {
			out.pop();
		} else if (!absolute) {
			out.push("..");
		}
	}
	return out;
}

// kind makes the functions for one kind of paths: sep joins parts, seps matches what separates them, and root splits what
// a path begins with from the rest: [device, root, rest].
function kind({ sep, delimiter, isSep, root, windows }) {
	const seps = windows ? /[\\/]/ : /\//;
	const check = (value, name = "path") => { needString(value, name); return value; };

	// cut finds the last part of a path, without the separators at the end. A name may be that of a share.
	function cut(path, name) {
		const [device, top] = root(path);
		const from = name && device.length > 2 ? 0 : device.length + top.length;
		let end = path.length;
		while (end > from && isSep(path[end - 1])) {
			end--;
		}
		let start = end;
		while (start > from && !isSep(path[start - 1])) {
			start--;
		}
		return { from, start, end };
	}

	function extOf(base) {
		const dot = base.lastIndexOf(".");
		return dot <= 0 || base === ".." ? "" : base.slice(dot);
	}

	const path = {
		sep,
		delimiter,
		basename(given, suffix) {
			check(given);
			if (suffix !== undefined) {
				check(suffix, "suffix");
			}
			if (given === suffix) {
				return "";
			}
			const { start, end } = cut(given, true);
			const base = given.slice(start, end);
			return suffix && base !== suffix && base.endsWith(suffix) ? base.slice(0, -suffix.length) : base;
		},
		dirname(given) {
			check(given);
			const { from, start } = cut(given);
			const end = start > from ? start - 1 : from;
			return end === 0 ? "." : given.slice(0, !windows && end === 1 && given.startsWith("//") && start > from ? 2 : end);
		},
		extname(given) {
			check(given);
			const { start, end } = cut(given);
			return extOf(given.slice(start, end));
		},
		format(parts) {
			needObject(parts, "pathObject");
			const dir = parts.dir || parts.root;
			const ext = parts.ext ? (parts.ext[0] === "." ? parts.ext : "." + parts.ext) : "";
			const base = parts.base || `${parts.name || ""}${ext}`;
			return !dir ? base : dir === parts.root ? dir + base : dir + sep + base;
		},
		parse(given) {
			check(given);
			const [device, top] = root(given);
			const { start, end } = cut(given);
			const base = given.slice(start, end);
			const ext = extOf(base);
			const dir = start === 0 ? "" : path.dirname(given);
			return { root: device + top, dir, base, ext, name: ext ? base.slice(0, -ext.length) : base };
		},
		isAbsolute(given) {
			check(given);
			const [device, top] = root(given);
			return top !== "" || (windows && device.startsWith("\\\\"));
		},
		join(...parts) {
			for (const part of parts) {
				check(part);
			}
			const kept = parts.filter((part) => part !== "");
			if (kept.length === 0) {
				return ".";
			}
			let joined = kept.join(sep);
			// Two separators from two parts must not come to look like the beginning of a network path.
			if (windows && !/^[\\/]{2}[^\\/]/.test(kept[0])) {
				joined = joined.replace(/^[\\/]{2,}/, "\\");
			}
			return path.normalize(joined);
		},
		normalize(given) {
			check(given);
			if (given === "") {
				return ".";
			}
			const [device, top, rest] = root(given);
			const absolute = top !== "";
			let tail = resolved(rest.split(seps), absolute).join(sep);
			if (tail === "" && !absolute) {
				tail = device ? "." : ".";
			}
			if (tail !== "" && isSep(given.at(-1))) {
				tail += sep;
			}
			return (windows ? device.replaceAll("/", "\\") : device) + (absolute ? sep : "") + tail;
		},
		relative(from, to) {
			check(from, "from");
			check(to, "to");
			const same = windows ? (x) => x.toLowerCase() : (x) => x;
			from = path.resolve(from);
			to = path.resolve(to);
			if (same(from) === same(to)) {
				return "";
			}
			const [fromDevice, , fromRest] = root(from);
			const [toDevice, , toRest] = root(to);
			if (same(fromDevice) !== same(toDevice)) {
				return to;
			}
			const a = fromRest.split(seps).filter(Boolean);
			const b = toRest.split(seps).filter(Boolean);
			let i = 0;
			while (i < a.length && i < b.length && same(a[i]) === same(b[i])) {
				i++;
			}
			return [...a.slice(i).map(() => ".."), ...b.slice(i)].join(sep);
		},
		resolve(...parts) {
			let device = "", top = "", rest = "";
			for (const part of [windows ? `C:${cwd.replaceAll("/", "\\")}` : cwd, ...parts].reverse()) {
				check(part);
				const [d, t, r] = root(part);
				if (part === "" || (d && device && d.toLowerCase() !== device.toLowerCase())) {
					continue;
				}
				device ||= d;
				if (!top) {
					rest = r + sep + rest;
					top = t;
				}
				if (top && (device || !windows)) {
					break;
				}
			}
			const tail = resolved(rest.split(seps), true).join(sep);
			return (windows ? device.replaceAll("/", "\\") : device) + sep + tail;
		},
		toNamespacedPath(given) {
			if (!windows || typeof given !== "string" || given === "") {
				return given;
			}
			const full = path.resolve(given);
			return /^[A-Za-z]:\\/.test(full) ? `\\\\?\\${full}` : /^\\\\[^?.]/.test(full) ? `\\\\?\\UNC\\${full.slice(2)}` : given;
		},
		matchesGlob(given, pattern) {
			check(given);
			check(pattern, "pattern");
			return globToRegExp(pattern, windows).test(given);
		},
		posix: null,
		win32: null,
	};
	path._makeLong = path.toNamespacedPath;
	return path;
}

// globToRegExp takes *, **, ?, [...] and {a,b}.
function globToRegExp(pattern, windows) {
	const any = windows ? "[^\\\\/]" : "[^/]";
	const between = windows ? "[\\\\/]" : "/";
	let out = "";
	for (let i = 0, depth = 0; i < pattern.length; i++) {
		const c = pattern[i];
		if (c === "*" && pattern[i + 1] === "*") {
			const follows = pattern[i + 2] === "/";
			out += follows ? `(?:.*${between})?` : ".*";
			i += follows ? 2 : 1;
		} else if (c === "*") {
			out += `${any}*`;
		} else if (c === "?") {
			out += any;
		} else if (c === "[" && pattern.indexOf("]", i + 1) > 0) {
			const end = pattern.indexOf("]", i + 1);
			out += `[${pattern.slice(i + 1, end).replace(/^!/, "^").replaceAll("\\", "\\\\")}]`;
			i = end;
		} else if (c === "{") {
			depth++;
			out += "(?:";
		} else if (c === "}" && depth > 0) {
			depth--;
			out += ")";
		} else if (c === "," && depth > 0) {
			out += "|";
		} else if (c === "/") {
			out += between;
		} else {
			out += c.replace(/[.+^$()|\\]/, "\\$&");
		}
	}
	return new RegExp(`^${out}$`);
}

const posix = kind({
	sep: "/", delimiter: ":", windows: false,
	isSep: (c) => c === "/",
	root: (p) => p[0] === "/" ? ["", "/", p.slice(1)] : ["", "", p],
});

const win32 = kind({
	sep: "\\", delimiter: ";", windows: true,
	isSep: (c) => c === "/" || c === "\\",
	root(p) {
		const network = /^[\\/]{2}([^\\/]+)[\\/]+([^\\/]+)([\\/]*)/.exec(p);
		if (network) {
			const device = `\\\\${network[1]}\\${network[2]}`;
			// The device keeps its length, since callers count in it.
			return [p.slice(0, network[0].length - network[3].length).length === device.length ? device : p.slice(0, network[0].length - network[3].length), network[3].slice(0, 1) || "\\", p.slice(network[0].length)];
		}
		const drive = /^([A-Za-z]:)([\\/]?)[\\/]*/.exec(p);
		if (drive) {
			return [drive[1], drive[2], p.slice(drive[1].length + drive[2].length)];
		}
		return /^[\\/]/.test(p) ? ["", p[0], p.slice(1)] : ["", "", p];
	},
});

for (const path of [posix, win32]) {
	path.posix = posix;
	path.win32 = win32;
}

module.exports = posix;
