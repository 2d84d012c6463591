// node:util/types (https://nodejs.org/api/util.html#utiltypes). A value's kind is what the methods of its class accept.

const getter = (proto, name) => Object.getOwnPropertyDescriptor(proto, name).get;
const brand = (method, ...args) => (value) => {
	if (value === null || typeof value !== "object") {
		return false;
	}
	try {
		Reflect.apply(method, value, args);
		return true;
	} catch {
		return false;
	}
};

const typedArrayName = getter(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag);
const arrayName = (value) => ArrayBuffer.isView(value) ? Reflect.apply(typedArrayName, value, []) : undefined;
const tagOf = (value) => Object.prototype.toString.call(value);
const functionTag = (tag) => (value) => typeof value === "function" && Object.getPrototypeOf(value)?.[Symbol.toStringTag] === tag;
const tagged = (tag) => (value) => value !== null && typeof value === "object" && value[Symbol.toStringTag] === tag;
const instance = (name) => (value) => typeof globalThis[name] === "function" && value instanceof globalThis[name];

const types = module.exports = {
	isProxy: (value) => native.classOf(value) === "Proxy",
	isPromise: (value) => native.classOf(value) === "Promise",
	isNativeError: (value) => native.classOf(value) === "Error",
	isArgumentsObject: (value) => native.classOf(value) === "Arguments",
	isArrayBuffer: (value) => native.classOf(value) === "ArrayBuffer",
	isAnyArrayBuffer: (value) => native.classOf(value) === "ArrayBuffer",
	isSharedArrayBuffer: () => false,
	isArrayBufferView: ArrayBuffer.isView,
	isDataView: (value) => ArrayBuffer.isView(value) && arrayName(value) === undefined,
	isTypedArray: (value) => arrayName(value) !== undefined,
	isDate: brand(Date.prototype.getTime),
	isRegExp: (value) => native.classOf(value) === "RegExp",
	isMap: brand(getter(Map.prototype, "size")),
	isSet: brand(getter(Set.prototype, "size")),
	isWeakMap: brand(WeakMap.prototype.has, {}),
	isWeakSet: brand(WeakSet.prototype.has, {}),
	isNumberObject: brand(Number.prototype.valueOf),
	isStringObject: brand(String.prototype.valueOf),
	isBooleanObject: brand(Boolean.prototype.valueOf),
	isBigIntObject: brand(BigInt.prototype.valueOf),
	isSymbolObject: brand(Symbol.prototype.valueOf),
	isBoxedPrimitive: (value) => types.isNumberObject(value) || types.isStringObject(value) || types.isBooleanObject(value) ||
		types.isBigIntObject(value) || types.isSymbolObject(value),
	isMapIterator: tagged("Map Iterator"),
	isSetIterator: tagged("Set Iterator"),
	isGeneratorObject: tagged("Generator"),
	isGeneratorFunction: functionTag("GeneratorFunction"),
	isAsyncFunction: functionTag("AsyncFunction"),
	isModuleNamespaceObject: (value) => value !== null && typeof value === "object" && tagOf(value) === "[object Module]",
	isExternal: () => false,
	isCryptoKey: instance("CryptoKey"),
	isKeyObject: (value) => value instanceof require("crypto").KeyObject,
};

for (const name of [
	"Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array", "Uint32Array", "Float32Array", "Float64Array",
	"BigInt64Array", "BigUint64Array",
]) {
	types[`is${name}`] = (value) => arrayName(value) === name;
}
