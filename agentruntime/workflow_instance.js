// One instance of a workflow, as a durable actor: what it has done is the journal in its storage, and what it waits for is its alarm. The alarm
// runs the class's run() from its start; steps that are in the journal give what they gave then. Where nothing but waiting is left the run is
// dropped, and the alarm begins it anew when there is something to do. So a wait and the death of the process are one case.
(function (storage, id, make, NonRetryableError, tell) {
	"use strict";
	const kv = storage.kv;
	const later = setTimeout, cancel = clearTimeout, now = Date.now;

	const MINUTE = 60_000, DAY = 24 * 60 * MINUTE;
	const maxSteps = 1024, maxName = 256, maxEvents = 1024;
	const maxTimeout = 14 * MINUTE; // an alarm's handler has 15
	const maxLost = 100; // runs, one after the other, that end in the middle of a step
	const maxTimer = 2 ** 31 - 1;
	const retained = 30 * DAY;
	const units = { second: 1000, minute: MINUTE, hour: 60 * MINUTE, day: DAY, week: 7 * DAY, month: 30 * DAY, year: 365 * DAY };
	const over = new Set(["complete", "errored", "terminated"]);

	let current = null; // the run under way; none outlives the alarm that began it

	function duration(v, what) {
		if (typeof v === "number" && v >= 0 && v <= 100 * units.year) return v;
		const m = typeof v === "string" && /^(\d+(?:\.\d+)?) ?(second|minute|hour|day|week|month|year)s?$/.exec(v);
		if (!m) throw new TypeError(`${what} is ${String(v)}: give milliseconds, or a text such as "5 minutes"`);
		return Number(m[1]) * units[m[2]];
	}

	function described(e) {
		return e instanceof Error || (typeof e === "object" && e !== null && "message" in e)
			? { name: String(e.name ?? "Error"), message: String(e.message) }
			: { name: "Error", message: String(e) };
	}

	function thrown(e) {
		const made = e.name === "NonRetryableError" ? new NonRetryableError(e.message) : new Error(e.message);
		made.name = e.name;
		return made;
	}

	function config(name, given) {
		const what = `step ${JSON.stringify(name)}`;
		const { retries = {}, timeout = 10 * MINUTE, ...rest } = given;
		const { limit = 5, delay = 10_000, backoff = "exponential", ...more } = retries;
		for (const key of Object.keys(rest)) throw new TypeError(`${what}: the option ${key} is not part of this version`);
		for (const key of Object.keys(more)) throw new TypeError(`${what}: the option retries.${key} is not part of this version`);
		if (!(limit === Infinity || Number.isInteger(limit)) || limit < 0) throw new TypeError(`${what}: retries.limit is ${limit}: give a whole number, or Infinity`);
		if (backoff !== "constant" && backoff !== "linear" && backoff !== "exponential") throw new TypeError(`${what}: retries.backoff is ${backoff}: give constant, linear or exponential`);
		const c = { limit, backoff, delay: duration(delay, `${what}: retries.delay`), timeout: duration(timeout, `${what}: timeout`) };
		if (c.timeout > maxTimeout) throw new RangeError(`${what}: the timeout is ${c.timeout} ms, the limit is ${maxTimeout} ms`);
		return c;
	}

	function pause(c, failed) {
		const factor = c.backoff === "constant" ? 1 : c.backoff === "linear" ? failed : 2 ** (failed - 1);
		return Math.min(c.delay * factor, units.year);
	}

	function save(change) {
		kv.put("meta", Object.assign(kv.get("meta"), change));
	}

	function forget(prefix) {
		for (;;) {
			const some = [...kv.list({ prefix, limit: 16 })]; // they may be large
			if (some.length === 0) return;
			for (const [key] of some) kv.delete(key);
		}
	}

	// progress notes that something came to an end, so that the next run may do better.
	function progress(run) {
		if (run.lost === 0) return;
		run.lost = 0;
		save({ lost: 0 });
	}

	// ended writes how the instance came to its end, and has the alarm clear it when nobody needs to know any more.
	function ended(status, change) {
		const { retention } = kv.get("meta");
		const gone = now() + (status === "complete" ? retention.success : retention.error);
		save({ status, gone, ...change });
		storage.setAlarm(gone);
	}

	// stop drops the run; what it still does has no effect.
	function stop(run) {
		if (run === null || run.dead) return;
		run.dead = true;
		for (const w of run.waiting) cancel(w.timer);
		current = null;
		run.done();
	}

	function finish(run, status, value) {
		if (run.dead) return;
		if (status === "complete") {
			try {
				kv.put("output", { value });
				ended(status, {});
			} catch (e) {
				const { name, message } = described(e);
				ended("errored", { error: { name, message: `what run() gave cannot be stored: ${message}` } });
			}
		} else {
			ended(status, { error: described(value) });
		}
		stop(run);
	}

	// settle drops the run if it can only wait.
	function settle(run) {
		if (run.dead || run.active > 0 || run.checking) return;
		run.checking = true;
		later(() => { // once code has had its turn
			run.checking = false;
			if (run.dead || run.active > 0) return;
			if (kv.get("meta").status === "waitingForPause") {
				save({ status: "paused" });
			} else {
				if (run.waiting.size === 0) return;
				let at = Infinity;
				for (const w of run.waiting) at = Math.min(at, w.at);
				save({ status: "waiting", lost: 0 });
				storage.setAlarm(Math.max(at, 0));
			}
			stop(run);
		}, 0);
	}

	// wait has go called at a time, or for an event of a type; here if the run is still there, else by going through it again.
	function wait(run, at, go, type, again) {
		const w = { at, type, go: () => { cancel(w.timer); run.waiting.delete(w); if (!run.dead) go(); } };
		run.waiting.add(w);
		if (!again) w.timer = later(w.go, Math.min(Math.max(at - now(), 1), maxTimer));
		settle(run);
	}

	function paused() {
		return kv.get("meta").status === "waitingForPause";
	}

	// key is a step's place in the journal: steps of one kind and name are told apart by their order.
	function place(run, kind, name) {
		if (typeof name !== "string" || name === "" || name.length > maxName) throw new TypeError(`step.${kind}: a step's name is a text of 1 to ${maxName} characters`);
		if (++run.steps > maxSteps) throw new RangeError(`step ${JSON.stringify(name)}: a workflow has at most ${maxSteps} steps`);
		const count = (run.counts.get(kind + " " + name) ?? 0) + 1;
		run.counts.set(kind + " " + name, count);
		return { key: `step/${kind}/${name}/${count}`, count };
	}

	function perform(run, name, given, fn) {
		const { key, count } = place(run, "do", name);
		const c = config(name, given);
		if (typeof fn !== "function") throw new TypeError(`step ${JSON.stringify(name)}: the callback is not a function`);
		return new Promise((resolve, reject) => {
			const go = () => {
				const rec = kv.get(key) ?? { failed: 0, next: 0 };
				if (rec.done) return resolve(rec.value);
				if (rec.error) return reject(thrown(rec.error));
				if (paused()) {
					run.held.push(go);
					return settle(run);
				}
				if (rec.next > now()) return wait(run, rec.next, go);
				const spent = now() - run.begun;
				if (spent > MINUTE / 2 && spent + c.timeout > maxTimeout) return wait(run, 0, go, undefined, true);
				const give = error => {
					kv.put(key, { ...rec, error });
					reject(thrown(error));
				};
				run.active++;
				let timer;
				const end = then => {
					if (timer === null) return;
					cancel(timer);
					timer = null;
					if (run.dead) return;
					run.active--;
					progress(run);
					then();
					settle(run);
				};
				const began = now();
				const failed = e => end(() => {
					tell(name, ++rec.failed, began, e ?? new Error(String(e)));
					const final = e instanceof NonRetryableError || e?.name === "NonRetryableError";
					if (final || rec.failed > c.limit) return give(described(e));
					rec.next = now() + pause(c, rec.failed);
					kv.put(key, rec);
					wait(run, rec.next, go);
				});
				timer = later(() => failed(thrown({ name: "WorkflowTimeoutError", message: `step ${JSON.stringify(name)} took longer than ${c.timeout} ms` })), c.timeout);
				const succeeded = value => end(() => {
					tell(name, rec.failed + 1, began);
					try {
						kv.put(key, { done: true, value });
					} catch (e) {
						const { name: kind, message } = described(e);
						return give({ name: kind, message: `step ${JSON.stringify(name)}: its result cannot be stored: ${message}` });
					}
					resolve(kv.get(key).value); // what a later run gets
				});
				let made;
				try {
					made = fn({ attempt: rec.failed + 1, step: { name, count }, config: { retries: { limit: c.limit, delay: c.delay, backoff: c.backoff }, timeout: c.timeout } });
				} catch (e) {
					return failed(e);
				}
				Promise.resolve(made).then(succeeded, failed);
			};
			go();
		});
	}

	function sleep(run, name, until) {
		const { key } = place(run, "sleep", name);
		return new Promise(resolve => {
			let rec = kv.get(key);
			if (rec === undefined) kv.put(key, (rec = { until: until() }));
			const go = () => {
				if (rec.done) return resolve();
				if (paused()) {
					run.held.push(go);
					return settle(run);
				}
				if (rec.until > now()) return wait(run, rec.until, go);
				kv.put(key, { ...rec, done: true });
				resolve();
			};
			go();
		});
	}

	function waitForEvent(run, name, options) {
		const { key } = place(run, "waitForEvent", name);
		const { type, timeout = DAY } = options ?? {};
		eventType(type);
		const ms = duration(timeout, `step ${JSON.stringify(name)}: timeout`);
		return new Promise((resolve, reject) => {
			let rec = kv.get(key);
			if (rec === undefined) kv.put(key, (rec = { until: now() + ms }));
			const go = () => {
				if (rec.event) return resolve(rec.event);
				if (rec.error) return reject(thrown(rec.error));
				if (paused()) {
					run.held.push(go);
					return settle(run);
				}
				for (const [at, event] of kv.list({ prefix: `event/${type}/`, limit: 1 })) {
					rec.event = event;
					kv.put(key, rec);
					kv.delete(at);
					save({ unread: kv.get("meta").unread - 1 });
					return resolve(kv.get(key).event);
				}
				if (rec.until > now()) return wait(run, rec.until, go, type);
				rec.error = { name: "WorkflowTimeoutError", message: `step ${JSON.stringify(name)}: no event ${type} came within ${ms} ms` };
				kv.put(key, rec);
				reject(thrown(rec.error));
			};
			go();
		});
	}

	function eventType(type) {
		if (typeof type !== "string" || !/^[a-zA-Z0-9_-]{1,100}$/.test(type)) throw new TypeError(`the type of an event is ${String(type)}: give 1 to 100 letters, digits, "_" and "-"`);
	}

	// Step is the second argument of run().
	class Step {
		#run;
		constructor(run) { this.#run = run; }
		async do(name, ...rest) { return this.#run.dead ? new Promise(() => {}) : perform(this.#run, name, rest.length > 1 ? rest[0] ?? {} : {}, rest.at(-1)); }
		async sleep(name, time) {
			if (this.#run.dead) return new Promise(() => {});
			const ms = duration(time, `step ${JSON.stringify(name)}: the time`);
			return sleep(this.#run, name, () => now() + ms);
		}
		async sleepUntil(name, time) {
			if (this.#run.dead) return new Promise(() => {});
			const at = time instanceof Date ? time.getTime() : time;
			if (typeof at !== "number" || !(Math.abs(at) <= 8.64e15)) throw new TypeError(`step ${JSON.stringify(name)}: the time is neither a Date nor milliseconds since the epoch`);
			return sleep(this.#run, name, () => at);
		}
		async waitForEvent(name, options) { return this.#run.dead ? new Promise(() => {}) : waitForEvent(this.#run, name, options); }
	}

	function begin() {
		return new Promise(done => {
			const { created, lost } = kv.get("meta");
			const run = { active: 0, steps: 0, waiting: new Set(), held: [], counts: new Map(), begun: now(), lost, dead: false, checking: false, done };
			current = run;
			if (lost >= maxLost) return finish(run, "errored", new Error(`run() was begun ${maxLost} times since it finished a step, and each time the server ended or the code passed its limits`));
			save({ status: "running", lost: ++run.lost });
			let going;
			try {
				going = make().run({ payload: kv.get("params")?.value, timestamp: new Date(created), instanceId: id }, new Step(run));
			} catch (e) {
				return finish(run, "errored", e);
			}
			Promise.resolve(going).then(value => finish(run, "complete", value), e => finish(run, "errored", e));
		});
	}

	function there(what) {
		const meta = kv.get("meta");
		if (meta === undefined) throw new Error(`${what}: there is no instance ${id}`);
		return meta;
	}

	function refuse(what, status) {
		throw new Error(`${what}: the instance ${id} is ${status}`);
	}

	return new class {
		// begin stores a new instance, and says whether there was none.
		begin(payload, retention = {}) {
			if (kv.get("meta") !== undefined) return false;
			kv.put("params", { value: payload });
			kv.put("meta", {
				status: "queued", created: now(), events: 0, unread: 0, lost: 0,
				retention: {
					success: duration(retention.successRetention ?? retained, "retention.successRetention"),
					error: duration(retention.errorRetention ?? retained, "retention.errorRetention"),
				},
			});
			storage.setAlarm(now());
			return true;
		}

		status() {
			const meta = kv.get("meta");
			if (meta === undefined) return null;
			const told = { status: meta.status };
			if (meta.error) told.error = meta.error;
			const output = kv.get("output");
			if (output !== undefined) told.output = output.value;
			return told;
		}

		pause() {
			const { status } = there("pause()");
			if (over.has(status)) refuse("pause()", status);
			if (status === "paused" || status === "waitingForPause") return;
			if (current !== null) {
				save({ status: "waitingForPause" });
				settle(current);
				return;
			}
			save({ status: "paused" });
			storage.deleteAlarm();
		}

		resume() {
			const { status } = there("resume()");
			if (status === "waitingForPause") {
				save({ status: "running" });
				for (const go of current?.held.splice(0) ?? []) go();
				if (current === null) storage.setAlarm(now());
				return;
			}
			if (status !== "paused") refuse("resume()", status);
			save({ status: "queued" });
			storage.setAlarm(now());
		}

		terminate() {
			const { status } = there("terminate()");
			if (over.has(status)) refuse("terminate()", status);
			ended("terminated", {});
			stop(current);
		}

		restart() {
			there("restart()");
			forget("step/");
			forget("event/");
			kv.delete("output");
			save({ status: "queued", error: undefined, gone: undefined, unread: 0, lost: 0 });
			storage.setAlarm(now());
			stop(current);
		}

		sendEvent(event) {
			const meta = there("sendEvent()");
			eventType(event?.type);
			if (over.has(meta.status)) refuse("sendEvent()", meta.status);
			const { type, payload } = event;
			if (meta.unread >= maxEvents) throw new RangeError(`sendEvent(): ${maxEvents} events wait for the instance ${id} already`);
			kv.put(`event/${type}/${String(meta.events).padStart(16, "0")}`, { type, payload, timestamp: new Date(now()) });
			save({ events: meta.events + 1, unread: meta.unread + 1 });
			if (current !== null) {
				for (const w of [...current.waiting]) if (w.type === type) w.go();
			} else if (meta.status === "waiting") {
				storage.setAlarm(now());
			}
		}

		alarm() {
			const meta = kv.get("meta");
			if (meta === undefined || meta.status === "paused") return;
			if (meta.status === "waitingForPause") return save({ status: "paused" }); // the process died meanwhile
			if (!over.has(meta.status)) return begin();
			if (meta.gone > now()) return storage.setAlarm(meta.gone);
			return storage.deleteAll();
		}
	}();
})
