export interface SearchResult {
	title: string;
	url: string;
	text: string;
}

/** What a search gave. error is set where it failed. */
export interface Found {
	results: SearchResult[];
	ms: number;
	error?: string;
}

/** The shortest life in seconds that a KV key can have. */
const shortestTtl = 60;

/** The agent's tool: a search API behind an access token, which all actors share through KV. */
export class SearchTool {
	constructor(
		private readonly address: string,
		private readonly tokens: KVNamespace,
	) {}

	/** Searches. A failure is returned, not thrown: the agent goes on without the tool. */
	async search(query: string): Promise<Found> {
		const started = Date.now();
		try {
			let response = await this.call(query, await this.tokens.get("search"));
			if (response.status === 401) {
				response = await this.call(query, await this.renew());
			}
			if (!response.ok) {
				throw new Error(`the search API answered ${response.status}`);
			}
			const { results } = await response.json<{ results: SearchResult[] }>();
			return { results, ms: Date.now() - started };
		} catch (error) {
			return { results: [], ms: Date.now() - started, error: error instanceof Error ? error.message : String(error) };
		}
	}

	private call(query: string, token: string | null): Promise<Response> {
		const url = new URL(this.address);
		url.searchParams.set("q", query);
		const headers: Record<string, string> = { Accept: "application/json" };
		if (token !== null) {
			headers.Authorization = `Bearer ${token}`;
		}
		return fetch(url.href, { headers, signal: AbortSignal.timeout(10_000) });
	}

	/** Gets a new token and keeps it for its life, less some time for the way. */
	private async renew(): Promise<string> {
		const response = await fetch(new URL("/token", this.address).href, { method: "POST" });
		if (!response.ok) {
			throw new Error(`the search API gave no token: ${response.status}`);
		}
		const { token, expires_in } = await response.json<{ token: string; expires_in: number }>();
		await this.tokens.put("search", token, { expirationTtl: Math.max(shortestTtl, expires_in - 10) });
		return token;
	}
}
