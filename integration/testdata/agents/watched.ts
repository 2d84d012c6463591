interface Env {
	POINTS: AnalyticsEngineDataset;
	STEP: string;
}

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		const url = new URL(request.url);
		switch (url.pathname) {
			case "/call":
				console.log("about to call");
				await fetch(env.STEP + "/told");
				console.warn("called", { once: true });
				await fetch("http://refused.example/").catch(() => {});
				return new Response("called");
			case "/fail":
				throw new RangeError("out of range");
			case "/teapot":
				return new Response("teapot", { status: 418 });
			case "/point":
				env.POINTS.writeDataPoint({ indexes: ["search"], blobs: ["ok", url.searchParams.get("q")], doubles: [1.5, 2] });
				env.POINTS.writeDataPoint({ indexes: ["search"], blobs: ["error"], doubles: [2.5] });
				return new Response("written");
			case "/too-many":
				try {
					env.POINTS.writeDataPoint({ doubles: new Array(21).fill(1) });
				} catch (error) {
					return new Response(String(error));
				}
		}
		return new Response("watched");
	},
};
