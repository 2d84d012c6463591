// The value of a workflow binding (https://developers.cloudflare.com/workflows/build/workers-api/). actor gives the stub of an instance's actor.
(function (binding, actor, uuid) {
	"use strict";
	const maxBatch = 100;

	function check(id) {
		if (typeof id !== "string" || !/^[a-zA-Z0-9_][a-zA-Z0-9_-]{0,99}$/.test(id)) {
			throw new TypeError(`${binding}: the id of an instance is ${String(id)}: give 1 to 100 letters, digits, "_" and "-", and no "-" at the beginning`);
		}
		return id;
	}

	async function begin(options) {
		const { id = uuid(), params, retention, ...rest } = options ?? {};
		for (const key of Object.keys(rest)) throw new TypeError(`${binding}: the option ${key} is not part of this version`);
		for (const key of Object.keys(retention ?? {})) {
			if (key !== "successRetention" && key !== "errorRetention") throw new TypeError(`${binding}: the option retention.${key} is not part of this version`);
		}
		return { id, made: await actor(check(id)).begin(params, retention ?? {}) };
	}

	class WorkflowInstance {
		#actor;
		constructor(id) {
			this.id = id;
			this.#actor = actor(id);
		}
		async status() {
			const status = await this.#actor.status();
			if (status === null) throw new Error(`${binding}: there is no instance ${this.id}`);
			return status;
		}
		async pause() { await this.#actor.pause(); }
		async resume() { await this.#actor.resume(); }
		async terminate(options) { refuse("terminate", options); await this.#actor.terminate(); }
		async restart(options) { refuse("restart", options); await this.#actor.restart(); }
		async sendEvent(event) { await this.#actor.sendEvent({ type: event?.type, payload: event?.payload }); }
	}

	function refuse(method, options) {
		for (const key of Object.keys(options ?? {})) throw new TypeError(`${binding}: the option ${key} of ${method}() is not part of this version`);
	}

	return {
		async create(options) {
			const { id, made } = await begin(options);
			if (!made) throw new Error(`${binding}: there is an instance ${id} already`);
			return new WorkflowInstance(id);
		},
		async createBatch(list) {
			const all = [...list];
			if (all.length === 0 || all.length > maxBatch) throw new RangeError(`${binding}: createBatch() was given ${all.length} instances, and takes from 1 to ${maxBatch}`);
			const begun = [];
			for (const options of all) {
				const { id, made } = await begin(options);
				if (made) begun.push(new WorkflowInstance(id));
			}
			return begun;
		},
		async get(id) {
			const instance = new WorkflowInstance(check(id));
			await instance.status();
			return instance;
		},
	};
})
