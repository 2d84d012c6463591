import assert, { AssertionError, strict } from "node:assert";
import assertStrict from "node:assert/strict";

const caught = (fn) => { try { fn(); } catch (err) { return [err.name, err.code, err.message.split("\n")[0], err.generatedMessage, err.operator]; } return "passes"; };
const later = async (fn) => { try { await fn(); } catch (err) { return [err.name, err.code ?? null, err.message.split("\n")[0]]; } return "passes"; };

export const cases = {
	"ok": () => [caught(() => assert(true)), caught(() => assert(0, "why")), caught(() => assert.ok("")).slice(0, 2), caught(() => assert.ok(false, new RangeError("own"))).slice(0, 1)],
	"equal": () => [caught(() => assert.equal(1, "1")), caught(() => assert.equal(1, 2)), caught(() => assert.equal(NaN, NaN)), caught(() => assert.notEqual(1, 1)), caught(() => assert.equal(1, 2, "m"))],
	"strictEqual": () => [caught(() => assert.strictEqual(1, 1)), caught(() => assert.strictEqual(1, "1")), caught(() => assert.strictEqual(0, -0)).slice(0, 2), caught(() => assert.notStrictEqual(1, 2)), caught(() => assert.notStrictEqual(1, 1))],
	"deepEqual": () => [caught(() => assert.deepEqual({ a: 1 }, { a: "1" })), caught(() => assert.deepEqual([1, 2], [1, 3])), caught(() => assert.notDeepEqual({ a: 1 }, { a: 1 }))],
	"deepStrictEqual": () => [caught(() => assert.deepStrictEqual({ a: 1 }, { a: 1 })), caught(() => assert.deepStrictEqual({ a: 1 }, { a: "1" })), caught(() => assert.deepStrictEqual(new Map([[1, 2]]), new Map([[1, 2]]))), caught(() => assert.notDeepStrictEqual([1], [1]))],
	"throws": () => [caught(() => assert.throws(() => { throw new TypeError("x"); })), caught(() => assert.throws(() => {})), caught(() => assert.throws(() => { throw new TypeError("x"); }, TypeError)), caught(() => assert.throws(() => { throw new TypeError("x"); }, /x/)), caught(() => assert.throws(() => { throw new TypeError("x"); }, /y/)).slice(0, 2), caught(() => assert.throws(() => { throw new TypeError("x"); }, { message: "x", name: "TypeError" })), caught(() => assert.throws(() => { throw new TypeError("x"); }, { message: "y" })).slice(0, 2), caught(() => assert.throws(() => { throw new TypeError("x"); }, RangeError)).slice(0, 2), caught(() => assert.throws(() => { throw new Error("x"); }, (e) => e.message === "x")), caught(() => assert.throws(() => {}, "why"))],
	"doesNotThrow": () => [caught(() => assert.doesNotThrow(() => {})), caught(() => assert.doesNotThrow(() => { throw new Error("x"); })).slice(0, 3)],
	"rejects": async () => [await later(() => assert.rejects(Promise.reject(new Error("x")))), await later(() => assert.rejects(Promise.resolve())), await later(() => assert.rejects(async () => { throw new TypeError("t"); }, TypeError)), await later(() => assert.doesNotReject(Promise.resolve())), await later(() => assert.doesNotReject(Promise.reject(new Error("x"))))],
	"match": () => [caught(() => assert.match("abc", /b/)), caught(() => assert.match("abc", /x/)), caught(() => assert.doesNotMatch("abc", /b/)), caught(() => assert.match(5, /x/)).slice(0, 2)],
	"fail": () => [caught(() => assert.fail()), caught(() => assert.fail("m")), caught(() => assert.fail(new RangeError("r"))).slice(0, 1)],
	"ifError": () => [caught(() => assert.ifError(null)), caught(() => assert.ifError(undefined)), caught(() => assert.ifError(new Error("e"))).slice(0, 3), caught(() => assert.ifError(0)).slice(0, 3)],
	"strict": () => [caught(() => strict.equal(1, "1")).slice(0, 2), caught(() => assertStrict.deepEqual({ a: 1 }, { a: "1" })).slice(0, 2), strict.strict === strict, assertStrict === assert.strict],
	"AssertionError": () => { const e = new AssertionError({ actual: 1, expected: 2, operator: "strictEqual" }); return [e.name, e.code, e.actual, e.expected, e instanceof Error, e.toString().split("\n")[0]]; },
	"missing arguments": () => caught(() => assert.equal(1)),
	"throws of no function": () => caught(() => assert.throws(5)).slice(0, 2),
};
