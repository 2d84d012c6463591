// node:url (https://nodejs.org/api/url.html): the URL of the Web, files, and the older parser.
const { coded, invalidType, needString } = require("internal_errors");

const { URL, URLSearchParams } = globalThis;

const slashed = new Set(["http", "https", "ftp", "gopher", "file", "ws", "wss"].map((name) => name + ":"));

function fileURLToPath(url, options) {
	if (typeof url === "string") {
		url = new URL(url);
	}
	if (!(url instanceof URL)) {
		throw invalidType("path", ["string", "an instance of URL"], url);
	}
	if (url.protocol !== "file:") {
		throw coded(TypeError, "ERR_INVALID_URL_SCHEME", "The URL must be of scheme file");
	}
	if (options?.windows) {
		if (/%2f|%5c/i.test(url.pathname)) {
			throw coded(TypeError, "ERR_INVALID_FILE_URL_PATH", "File URL path must not include encoded \\ or / characters");
		}
		const path = decodeURIComponent(url.pathname.replaceAll("/", "\\"));
		if (url.hostname !== "") {
			return `\\\\${url.hostname}${path}`;
		}
		if (!/^\\[A-Za-z]:/.test(path)) {
			throw coded(TypeError, "ERR_INVALID_FILE_URL_PATH", "File URL path must be absolute");
		}
		return path.slice(1);
	}
	if (url.hostname !== "") {
		throw coded(TypeError, "ERR_INVALID_FILE_URL_HOST", 'File URL host must be "localhost" or empty on linux');
	}
	if (/%2f/i.test(url.pathname)) {
		throw coded(TypeError, "ERR_INVALID_FILE_URL_PATH", "File URL path must not include encoded / characters");
	}
	return decodeURIComponent(url.pathname);
}

function pathToFileURL(path, options) {
	needString(path, "path");
	const p = require("path")[options?.windows ? "win32" : "posix"];
	let full = p.resolve(path);
	if (/[\\/]$/.test(path) && !full.endsWith(p.sep)) {
		full += p.sep;
	}
	if (options?.windows) {
		full = (full.startsWith("\\\\") ? full.slice(2) : "/" + full).replaceAll("\\", "/");
	}
	const encoded = full.replace(options?.windows ? /[%\n\r\t?#]/g : /[%\\\n\r\t?#]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0"));
	return new URL(`file://${encoded}`);
}

function urlToHttpOptions(url) {
	const options = {
		__proto__: null,
		...url,
		protocol: url.protocol,
		hostname: url.hostname.startsWith("[") ? url.hostname.slice(1, -1) : url.hostname,
		hash: url.hash,
		search: url.search,
		pathname: url.pathname,
		path: `${url.pathname || ""}${url.search || ""}`,
		href: url.href,
	};
	if (url.port !== "") {
		options.port = Number(url.port);
	}
	if (url.username || url.password) {
		options.auth = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
	}
	return options;
}

function Url() {
	this.protocol = null;
	this.slashes = null;
	this.auth = null;
	this.host = null;
	this.port = null;
	this.hostname = null;
	this.hash = null;
	this.search = null;
	this.query = null;
	this.pathname = null;
	this.path = null;
	this.href = null;
}

// The characters that the older parser writes as %XX wherever they stand.
const unwise = /[\t\n\r "'<>\\^`{|}]/g;
const quoted = (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0");

Url.prototype.parse = function(text, parseQuery, slashesDenoteHost) {
	needString(text, "url");
	const before = /^([^?#]*)([^]*)$/.exec(text.trim());
	let rest = before[1].replaceAll("\\", "/") + before[2];
	const scheme = /^([A-Za-z0-9.+-]+:)/.exec(rest);
	let lower = "";
	if (scheme) {
		lower = scheme[1].toLowerCase();
		this.protocol = lower;
		rest = rest.slice(scheme[1].length);
	}
	let hosted = false;
	if ((slashesDenoteHost || scheme || /^\/\/[^@/]+@[^@/]+/.test(rest)) && rest.startsWith("//") && lower !== "javascript:") {
		this.slashes = true;
		rest = rest.slice(2);
		hosted = true;
	}
	if (lower !== "javascript:" && (hosted || (scheme && !slashed.has(lower)))) {
		const end = rest.search(/[/?#]/);
		let host = end < 0 ? rest : rest.slice(0, end);
		rest = end < 0 ? "" : rest.slice(end);
		const at = host.lastIndexOf("@");
		if (at >= 0) {
			this.auth = decodeURIComponent(host.slice(0, at));
			host = host.slice(at + 1);
		}
		const port = /:([0-9]*)$/.exec(host);
		if (port && !(host.startsWith("[") && !host.includes("]:"))) {
			if (port[1] !== "") {
				this.port = port[1];
			}
			host = host.slice(0, -port[0].length);
		}
		this.hostname = host.toLowerCase();
		const six = host.startsWith("[") && host.endsWith("]");
		if (!six) {
			const bad = this.hostname.search(/[^\w.\-+%\u0080-\uffff]/);
			if (bad >= 0) {
				throw coded(TypeError, "ERR_INVALID_URL", "Invalid URL", { input: text });
			}
			if (/[\u0080-\uffff]/.test(this.hostname)) {
				this.hostname = native.domainToASCII(this.hostname);
				if (this.hostname === "") {
					throw coded(TypeError, "ERR_INVALID_URL", "Invalid URL", { input: text });
				}
			}
		}
		this.host = this.hostname + (this.port ? ":" + this.port : "");
		if (six) {
			this.hostname = this.hostname.slice(1, -1);
			if (rest !== "" && rest[0] !== "/") {
				rest = "/" + rest;
			}
		}
	}
	if (lower !== "javascript:") {
		rest = rest.replace(unwise, quoted);
	}
	const hash = rest.indexOf("#");
	if (hash >= 0) {
		this.hash = rest.slice(hash);
		rest = rest.slice(0, hash);
	}
	const query = rest.indexOf("?");
	if (query >= 0) {
		this.search = rest.slice(query);
		this.query = this.search.slice(1);
		rest = rest.slice(0, query);
		if (parseQuery) {
			this.query = require("querystring").parse(this.query);
		}
	} else if (parseQuery) {
		this.search = null;
		this.query = Object.create(null);
	}
	if (rest !== "") {
		this.pathname = rest;
	}
	if (slashed.has(lower) && this.hostname && !this.pathname) {
		this.pathname = "/";
	}
	if (this.pathname || this.search) {
		this.path = (this.pathname || "") + (this.search || "");
	}
	this.href = this.format();
	return this;
};

Url.prototype.format = function() {
	let auth = this.auth || "";
	if (auth) {
		auth = encodeURIComponent(auth).replace(/%3A/i, ":") + "@";
	}
	let protocol = this.protocol || "";
	let pathname = this.pathname || "";
	let hash = this.hash || "";
	let host = "";
	if (this.host) {
		host = auth + this.host;
	} else if (this.hostname) {
		host = auth + (this.hostname.includes(":") && !this.hostname.startsWith("[") ? `[${this.hostname}]` : this.hostname) + (this.port ? ":" + this.port : "");
	}
	const query = this.query !== null && typeof this.query === "object" ? require("querystring").stringify(this.query) : "";
	let search = this.search || (query && "?" + query) || "";
	if (protocol && !protocol.endsWith(":")) {
		protocol += ":";
	}
	pathname = pathname.replace(/[#?]/g, quoted);
	if (this.slashes || ((!protocol || slashed.has(protocol)) && host !== "")) {
		host = this.slashes || host ? "//" + host : host;
		if (pathname && pathname[0] !== "/") {
			pathname = "/" + pathname;
		}
	} else if (protocol === "file:" && this.slashes !== null) {
		host = "//";
	}
	search = search.replaceAll("#", "%23");
	if (hash && hash[0] !== "#") {
		hash = "#" + hash;
	}
	if (search && search[0] !== "?") {
		search = "?" + search;
	}
	return protocol + host + pathname + search + hash;
};

const parse = (url, parseQuery, slashesDenoteHost) => url instanceof Url ? url : new Url().parse(url, parseQuery, slashesDenoteHost);

function format(url, options) {
	if (typeof url === "string") {
		url = parse(url);
	} else if (url === null || typeof url !== "object") {
		throw invalidType("urlObject", ["an instance of Object", "string"], url);
	} else if (url instanceof URL) {
		const { auth = true, fragment = true, search = true, unicode = false } = options ?? {};
		const copy = new URL(url.href);
		if (!fragment) {
			copy.hash = "";
		}
		if (!search) {
			copy.search = "";
		}
		if (!auth) {
			copy.username = copy.password = "";
		}
		return unicode ? copy.href.replace(copy.hostname, native.domainToUnicode(copy.hostname)) : copy.href;
	}
	return Url.prototype.format.call(url);
}

// resolve follows RFC 3986, through a base that stands for what a relative from lacks.
function resolve(from, to) {
	const target = parse(to, false, true);
	if (target.protocol && target.protocol !== parse(from).protocol) {
		return target.href;
	}
	const stand = "resolve://u.invalid/";
	const base = new URL(from, stand);
	const url = new URL(to, base);
	if (url.protocol === "resolve:") {
		const path = url.pathname + url.search + url.hash;
		return /^\//.test(from) || /^\//.test(to) ? path : path.slice(1);
	}
	return url.href;
}

Url.prototype.resolve = function(relative) { return resolve(this.format(), relative); };
Url.prototype.resolveObject = function(relative) { return parse(this.resolve(relative), false, true); };

module.exports = {
	URL,
	URLSearchParams,
	Url,
	URLPattern: globalThis.URLPattern,
	fileURLToPath,
	fileURLToPathBuffer: (url, options) => require("buffer").Buffer.from(fileURLToPath(url, options)),
	pathToFileURL,
	urlToHttpOptions,
	parse,
	format,
	resolve,
	resolveObject: (from, to) => parse(resolve(from, to), false, true),
	domainToASCII: (domain) => native.domainToASCII(`${domain}`),
	domainToUnicode: (domain) => native.domainToUnicode(`${domain}`),
};
