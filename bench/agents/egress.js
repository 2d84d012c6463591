// Passes the request's path on to an origin: with fetch, through the agent's egress policy, or by the site's next handler where no ORIGIN_URL
// is bound.
export default {
  fetch(request, env) {
    const { pathname, search } = new URL(request.url);
    return env.ORIGIN_URL ? fetch(env.ORIGIN_URL + pathname + search) : env.ORIGIN.fetch(request);
  },
};
