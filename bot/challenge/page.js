"use strict";
(() => {
	const { puzzle, difficulty } = document.currentScript.dataset;
	const part = (id) => document.getElementById(id);
	const [form, work, question, status] = ["form", "work", "question", "status"].map(part);

	// solve runs in a worker: it looks for the number whose SHA-256 (FIPS 180-4), after the puzzle and a colon, begins with enough zero
	// bits. It has its own SHA-256 because a page of plain HTTP has no WebCrypto, and because one call for each number is slow.
	function solve() {
		const roots = (n, power) => {
			const out = [];
			for (let p = 2; out.length < n; p++) {
				let prime = true;
				for (let d = 2; d * d <= p; d++) prime &&= p % d !== 0;
				if (prime) out.push(((p ** power % 1) * 2 ** 32) | 0);
			}
			return out;
		};
		const K = roots(64, 1 / 3), H = roots(8, 1 / 2), w = new Int32Array(64);
		const block = (state, bytes, at) => {
			for (let i = 0; i < 16; i++, at += 4) w[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
			for (let i = 16; i < 64; i++) {
				const x = w[i - 15], y = w[i - 2];
				w[i] = (w[i - 16] + w[i - 7] + ((x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3) + ((y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10)) | 0;
			}
			let [a, b, c, d, e, f, g, h] = state;
			for (let i = 0; i < 64; i++) {
				const s = (h + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
				const t = (((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
				h = g; g = f; f = e; e = (d + s) | 0; d = c; c = b; b = a; a = (s + t) | 0;
			}
			return [a, b, c, d, e, f, g, h].map((v, i) => (v + state[i]) | 0);
		};
		onmessage = ({ data: { puzzle, difficulty } }) => {
			const text = new TextEncoder().encode(puzzle + ":");
			const whole = text.length - (text.length % 64);
			let begun = H;
			for (let at = 0; at < whole; at += 64) begun = block(begun, text, at);
			const tail = new Uint8Array(128), kept = text.length - whole;
			for (let n = 0; ; n++) {
				const digits = String(n);
				tail.fill(0);
				tail.set(text.subarray(whole));
				for (let i = 0; i < digits.length; i++) tail[kept + i] = digits.charCodeAt(i);
				const length = kept + digits.length, end = length > 55 ? 128 : 64, bitsLong = (text.length + digits.length) * 8;
				tail[length] = 0x80;
				for (let i = 0; i < 4; i++) tail[end - 1 - i] = (bitsLong >>> (8 * i)) & 255;
				let state = block(begun, tail, 0);
				if (end === 128) state = block(state, tail, 64);
				if (Math.clz32(state[0]) >= difficulty) return postMessage(digits);
			}
		};
	}

	const ask = (why) => {
		work.hidden = !question;
		if (question) {
			question.hidden = false;
			part("other")?.parentElement.remove();
			part("answer").focus();
		}
		status.textContent = why;
		part("progress").hidden = true;
	};
	if (question) question.hidden = true;
	work.hidden = false;
	part("other")?.addEventListener("click", () => {
		worker?.terminate();
		ask("Answer this question, please.");
	});
	let worker;
	try {
		worker = new Worker(URL.createObjectURL(new Blob([`(${solve})()`], { type: "text/javascript" })));
		worker.onerror = () => ask("The puzzle could not be solved here. Answer this question, please.");
		worker.onmessage = ({ data }) => {
			status.textContent = "Solved. The page is on its way.";
			part("number").value = data;
			part("answer")?.removeAttribute("required");
			form.submit();
		};
		worker.postMessage({ puzzle, difficulty: Number(difficulty) });
	} catch {
		ask("The puzzle could not be solved here. Answer this question, please.");
	}
})();
