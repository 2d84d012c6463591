// node:stream/web (https://nodejs.org/api/webstreams.html): the streams of the Web are globals.

for (const name of [
	"ReadableStream", "ReadableStreamDefaultReader", "ReadableStreamBYOBReader", "ReadableStreamBYOBRequest", "ReadableByteStreamController",
	"ReadableStreamDefaultController", "TransformStream", "TransformStreamDefaultController", "WritableStream", "WritableStreamDefaultController",
	"WritableStreamDefaultWriter", "ByteLengthQueuingStrategy", "CountQueuingStrategy", "TextEncoderStream", "TextDecoderStream",
	"CompressionStream", "DecompressionStream",
]) {
	Object.defineProperty(exports, name, { get: () => globalThis[name], enumerable: true });
}
