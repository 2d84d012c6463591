#!/usr/bin/env bash
# Starts the example: a small search API, and Caddy with Caddyfile.example before it. Ctrl-C ends both.
#
#   PORT=9090 examples/run.sh .build/caddy
#
# "make run" builds the binary and calls this. PORT is Gatehouse's (8080), SEARCH_PORT the search API's (8081),
# ADMIN_PORT that of Caddy's admin endpoint (2019).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

caddy=$1
export PORT=${PORT:-8080} SEARCH_PORT=${SEARCH_PORT:-8081} ADMIN_PORT=${ADMIN_PORT:-2019}

# listens tells whether something takes connections on a port of this machine.
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

for name in PORT SEARCH_PORT ADMIN_PORT; do
	if listens "${!name}"; then
		echo "Port ${!name} is taken by another program. Choose another one: make run $name=$((${!name} + 1000))" >&2
		exit 1
	fi
done

go build -o .build/searchapi ./examples/coordinator/searchapi

pids=()
end() {
	trap - EXIT INT TERM
	((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
	wait
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

.build/searchapi "127.0.0.1:$SEARCH_PORT" &
pids+=($!)
"$caddy" run --config Caddyfile.example --adapter caddyfile &
pids+=($!)

# Wait until both answer, or one has ended.
for ((tries = 0; ; tries++)); do
	listens "$PORT" && listens "$SEARCH_PORT" && break
	for pid in "${pids[@]}"; do
		kill -0 "$pid" 2>/dev/null || { echo "The example did not start; the lines above say why." >&2; exit 1; }
	done
	((tries < 600)) || { echo "The example does not answer after 60 seconds." >&2; exit 1; }
	sleep 0.1
done

site=http://localhost:$PORT
cat <<END

Gatehouse is at $site. Try, in another terminal:

  curl -d '{"message":"What is a gatehouse?"}' '$site/?agent_id=a'     an answer; the agent searched for it
  curl -d '{"message":"And a portcullis?"}' '$site/?agent_id=a'        it knows what you asked before
  curl -d '{"message":"What did I ask?"}' '$site/?agent_id=b'          another agent does not

  curl -i '$site/?q=1%27%20OR%20%271%27=%271'                          refused by the WAF
  curl -i -A sqlmap/1.8 '$site/?agent_id=a'                            refused by the bot score
  for i in {1..12}; do curl -so /dev/null -w '%{http_code} ' '$site/?agent_id=c'; done     refused by the throttle

  $caddy gatehouse tail --address localhost:$ADMIN_PORT                          watch all of it

Ctrl-C ends it. Another port: make run PORT=9090

END
wait -n || true
echo "One of the two programs has ended, so the other is stopped." >&2
exit 1
