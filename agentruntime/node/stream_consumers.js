// node:stream/consumers (https://nodejs.org/api/webstreams.html#utility-consumers).
const { Buffer } = require("buffer");

const asyncIterator = Symbol.for("Symbol.asyncIterator");

async function chunks(stream) {
	const iterator = typeof stream[asyncIterator] === "function" ? stream[asyncIterator]() : typeof stream.values === "function" ? stream.values() : stream[Symbol.iterator]();
	const all = [];
	for (let item = await iterator.next(); !item.done; item = await iterator.next()) {
		all.push(item.value);
	}
	return all;
}

async function buffer(stream) {
	const all = await chunks(stream);
	return Buffer.concat(all.map((chunk) => typeof chunk === "string" ? Buffer.from(chunk) : ArrayBuffer.isView(chunk) ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength) : Buffer.from(chunk)));
}

const text = async (stream) => new TextDecoder().decode(await buffer(stream));

module.exports = {
	buffer,
	text,
	json: async (stream) => JSON.parse(await text(stream)),
	blob: async (stream) => new Blob([await buffer(stream)]),
	async arrayBuffer(stream) {
		const data = await buffer(stream);
		return data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength);
	},
};
