// Passes the request's path on to an origin with fetch, and the origin's answer back as it streams in.
export default {
  fetch(request, env) {
    const { pathname, search } = new URL(request.url);
    return fetch(env.ORIGIN_URL + pathname + search);
  },
};
