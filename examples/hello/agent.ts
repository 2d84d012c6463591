export default {
	fetch: (request: Request) => new Response(`Hello, ${new URL(request.url).searchParams.get("name") ?? "world"}!\n`),
};
