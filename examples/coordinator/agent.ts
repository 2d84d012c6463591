import { DurableObject } from "cloudflare:workers";
import { SearchTool, type SearchResult } from "./tool";
import { Watchers } from "./watchers";

export interface Env {
	AGENT_COORDINATOR: DurableObjectNamespace<AgentCoordinator>;
	/** Access tokens of the tools, shared by all actors. */
	TOKENS: KVNamespace;
	/** One data point for each tool call. */
	TOOLS: AnalyticsEngineDataset;
	SEARCH_URL: string;
}

/** How many questions one agent may be asked in any span of windowMs. */
const limit = 10;
const windowMs = 60_000;
/** How many messages of the conversation an answer shows. */
const shown = 6;
/** A turn that is not finished by then, because the server went down in the middle, is taken up by the alarm. */
const resumeAfterMs = 5_000;
const longestQuestion = 4_000;

interface Message {
	role: "user" | "agent";
	content: string;
	at: number;
}

/** One question on its way to an answer. It is written down after each step. */
interface Turn {
	number: number;
	agent: string;
	question: string;
	step: "received" | "searching" | "answered" | "failed";
	at: number;
	answer?: string;
	sources?: SearchResult[];
	error?: string;
}

/** The durable side of one agent: its limit, its conversation, and the turn it is at. */
export class AgentCoordinator extends DurableObject<Env> {
	private readonly watchers = new Watchers();
	/** Turns run one after the other, in the order they came. This is the end of the last. */
	private last: Promise<unknown> = Promise.resolve();

	async fetch(request: Request): Promise<Response> {
		const url = new URL(request.url);
		const agent = url.searchParams.get("agent_id")!;
		if (request.method === "GET" && url.pathname === "/events") {
			return this.watchers.open(await this.ctx.storage.get<Turn>("turn"));
		}
		if (request.method === "GET") {
			const turn = await this.ctx.storage.get<Turn>("turn");
			return json(200, { agent, turn: turn ?? null, context: await this.context() });
		}
		if (request.method === "POST") {
			return this.ask(agent, await request.text());
		}
		return json(405, { error: "Ask with POST, look with GET." }, { Allow: "GET, POST" });
	}

	/** Finishes a turn that the server's end interrupted. */
	async alarm(): Promise<void> {
		await this.inOrder(() => this.resume());
	}

	private async ask(agent: string, body: string): Promise<Response> {
		const question = questionOf(body);
		if (question === "" || question.length > longestQuestion) {
			return json(400, { error: `Send a message of 1 to ${longestQuestion} characters, as text or as {"message": "..."}.` });
		}
		const admitted = await this.admit(Date.now());
		if (admitted.waitMs > 0) {
			const seconds = Math.ceil(admitted.waitMs / 1000);
			return json(429, { error: `This agent takes ${limit} questions a minute.`, retry_after: seconds }, { "Retry-After": String(seconds) });
		}
		const turn = await this.inOrder(async () => {
			await this.resume();
			return this.finish(await this.receive(agent, question));
		});
		return json(turn.step === "answered" ? 200 : 502, {
			agent,
			turn: turn.number,
			step: turn.step,
			answer: turn.answer,
			error: turn.error,
			sources: turn.sources?.map(({ title, url }) => ({ title, url })),
			context: await this.context(),
			remaining: admitted.remaining,
		});
	}

	/** Counts a question in the sliding window, or says how long to wait. */
	private async admit(now: number): Promise<{ waitMs: number; remaining: number }> {
		const asked = ((await this.ctx.storage.get<number[]>("asked")) ?? []).filter((at) => at > now - windowMs);
		if (asked.length >= limit) {
			return { waitMs: asked[0] + windowMs - now, remaining: 0 };
		}
		asked.push(now);
		await this.ctx.storage.put("asked", asked);
		return { waitMs: 0, remaining: limit - asked.length };
	}

	/** Runs one piece of work after all that were asked for before it. */
	private inOrder<T>(work: () => Promise<T>): Promise<T> {
		const next = this.last.then(work);
		this.last = next.catch(() => {});
		return next;
	}

	/** Writes a new turn down, with its question, and sees to it that it ends even if this server does not. */
	private async receive(agent: string, question: string): Promise<Turn> {
		const before = await this.ctx.storage.get<Turn>("turn");
		const turn: Turn = { number: (before?.number ?? 0) + 1, agent, question, step: "received", at: Date.now() };
		await this.ctx.storage.setAlarm(Date.now() + resumeAfterMs);
		return this.checkpoint(turn, { role: "user", content: question, at: turn.at });
	}

	/** Takes up the turn that storage holds, if it was left unfinished. */
	private async resume(): Promise<void> {
		const turn = await this.ctx.storage.get<Turn>("turn");
		if (turn?.step === "received" || turn?.step === "searching") {
			console.warn(`agent ${turn.agent}: turn ${turn.number} goes on at ${turn.step}`);
			await this.finish(turn);
		}
	}

	/** Takes a turn from the step it is at to its end. */
	private async finish(turn: Turn): Promise<Turn> {
		if (turn.step === "received") {
			turn = await this.checkpoint({ ...turn, step: "searching" });
		}
		const tool = new SearchTool(this.env.SEARCH_URL, this.env.TOKENS);
		const found = await tool.search(turn.question);
		this.env.TOOLS.writeDataPoint({
			indexes: [turn.agent],
			blobs: ["search", found.error === undefined ? "ok" : "error"],
			doubles: [found.ms, found.results.length],
		});
		if (found.error !== undefined) {
			console.error(`agent ${turn.agent}: the search failed: ${found.error}`);
			turn = await this.checkpoint({ ...turn, step: "failed", error: found.error });
		} else {
			const answer = answerFrom(turn.question, found.results);
			turn = await this.checkpoint({ ...turn, step: "answered", answer, sources: found.results }, { role: "agent", content: answer, at: Date.now() });
		}
		await this.ctx.storage.deleteAlarm();
		return turn;
	}

	/** Writes the turn's step down, and what was said in it, as one; then tells those who watch. */
	private async checkpoint(turn: Turn, said?: Message): Promise<Turn> {
		const entries: Record<string, unknown> = { turn };
		if (said !== undefined) {
			const count = ((await this.ctx.storage.get<number>("count")) ?? 0) + 1;
			entries.count = count;
			// Keys are padded, so that their order is the conversation's.
			entries[`message/${String(count).padStart(9, "0")}`] = said;
		}
		await this.ctx.storage.put(entries);
		this.watchers.tell(turn);
		return turn;
	}

	/** Returns how long the conversation is, and its end. */
	private async context(): Promise<{ messages: number; last: Message[] }> {
		const count = (await this.ctx.storage.get<number>("count")) ?? 0;
		const end = await this.ctx.storage.list<Message>({ prefix: "message/", reverse: true, limit: shown });
		return { messages: count, last: [...end.values()].reverse() };
	}
}

/** Puts an answer together from what was found. A language model would stand here. */
function answerFrom(question: string, results: SearchResult[]): string {
	if (results.length === 0) {
		return `Nothing was found for "${question}".`;
	}
	const also = results.slice(1).map((r) => r.title);
	return `${results[0].title}: ${results[0].text}` + (also.length > 0 ? ` See also: ${also.join(", ")}.` : "");
}

function questionOf(body: string): string {
	try {
		const parsed: unknown = JSON.parse(body);
		if (typeof parsed === "object" && parsed !== null && "message" in parsed && typeof parsed.message === "string") {
			return parsed.message.trim();
		}
	} catch {
		// It is plain text.
	}
	return body.trim();
}

function json(status: number, value: unknown, headers: Record<string, string> = {}): Response {
	return new Response(JSON.stringify(value, null, 2) + "\n", { status, headers: { "Content-Type": "application/json", ...headers } });
}

export default {
	/** Sends each request to the durable actor of its agent. What names no agent goes on to the origin. */
	async fetch(request: Request, env: Env): Promise<Response | undefined> {
		const agent = new URL(request.url).searchParams.get("agent_id");
		if (agent === null) {
			return undefined;
		}
		if (agent === "" || agent.length > 128) {
			return json(400, { error: "agent_id has 1 to 128 characters." });
		}
		return env.AGENT_COORDINATOR.get(env.AGENT_COORDINATOR.idFromName(agent)).fetch(request);
	},
};
