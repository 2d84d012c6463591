interface Broken {
	part: string;
	since?: number;
}

type Reader<T> = (from: T) => string;

const read: Reader<Broken> = (from) => {
	throw new TypeError(`the ${from.part} is broken`); // here it is thrown
};

interface Env {
	STEP: string;
	LIMITED: string;
}

export default {
	async fetch(request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
		switch (new URL(request.url).pathname) {
			case "/throw":
				return new Response(read({ part: "lever" }));
			case "/spin":
				for (;;) {}
			case "/wait":
				await new Promise((resolve) => setTimeout(resolve, 60_000));
				return new Response("waited");
			case "/step":
				return fetch(env.STEP + "/step");
			case "/many": {
				let sent = 0;
				try {
					for (; sent < 20; sent++) {
						await (await fetch(env.STEP + "/many")).text();
					}
				} catch (error) {
					return new Response(`${sent} sent, then ${error}`);
				}
				return new Response(`${sent} sent`);
			}
			case "/background":
				ctx.waitUntil(
					(async () => {
						await fetch(env.STEP + "/background");
						console.log("done in the background");
					})(),
				);
				return new Response("answered");
			case "/late":
				ctx.waitUntil(Promise.reject(new Error("late failure")));
				return new Response("answered");
		}
		console.log("fine", { answer: 42 });
		return new Response("fine");
	},
};
