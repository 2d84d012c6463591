#!/usr/bin/env bash
# Starts the example: a small search API, and Caddy with Caddyfile.example before it. Ctrl-C ends both.
#
#   PORT=8088 examples/run.sh .build/caddy
#
# "make run" builds the binary and calls this. Everything that two runs on one machine could fight about is a variable:
#
#   PORT           where Gatehouse listens, 8080 by default
#   SEARCH_PORT    where the search API listens, 8081 by default
#   ADMIN_PORT     where Caddy's admin endpoint listens, 2019 by default
#   DATA           the folder of the store, the keyring and the data points, ./data by default
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

caddy=$1
port=${PORT:-8080}
search_port=${SEARCH_PORT:-8081}
admin_port=${ADMIN_PORT:-2019}
export GATEHOUSE_PORT=$port GATEHOUSE_SEARCH_PORT=$search_port GATEHOUSE_ADMIN_PORT=$admin_port GATEHOUSE_DATA=${DATA:-./data}

# listens tells whether something takes connections on a port of this machine.
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

if listens "$port"; then
	echo "Port $port is taken by another program. Choose another one: make run PORT=$((port + 8))" >&2
	exit 1
fi
for taken in "$search_port SEARCH_PORT the search API" "$admin_port ADMIN_PORT Caddy's admin endpoint"; do
	read -r number variable what <<<"$taken"
	if listens "$number"; then
		echo "Port $number is taken by another program, and $what needs it. Choose another one: make run $variable=$((number + 8))" >&2
		exit 1
	fi
done

go build -o .build/search ./examples/coordinator/search

pids=()
end() {
	trap - EXIT INT TERM
	((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
	wait
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

.build/search -listen "127.0.0.1:$search_port" &
pids+=($!)
"$caddy" run --config Caddyfile.example --adapter caddyfile &
pids+=($!)

# Wait until both answer, or one has ended.
for ((tries = 0; ; tries++)); do
	listens "$port" && listens "$search_port" && break
	for pid in "${pids[@]}"; do
		kill -0 "$pid" 2>/dev/null || { echo "The example did not start; the lines above say why." >&2; exit 1; }
	done
	((tries < 600)) || { echo "The example does not answer after 60 seconds." >&2; exit 1; }
	sleep 0.1
done

site=http://localhost:$port
address=
((admin_port == 2019)) || address=" --address localhost:$admin_port"
cat <<END

Gatehouse is at $site. Try, in another terminal:

  an agent that searches, and remembers
    curl -d 'What is a gatehouse?' '$site/?agent_id=a'
    curl -d 'And a portcullis?' '$site/?agent_id=a'
    curl '$site/?agent_id=b'
  its steps as they happen, while you ask
    curl -N '$site/events?agent_id=a'
  what the WAF, the bot score and the throttle refuse
    curl -i '$site/?q=1%27%20OR%20%271%27=%271'
    curl -i -A sqlmap/1.8 '$site/?agent_id=a'
    for i in {1..11}; do curl -s -o /dev/null -w '%{http_code} ' -d toll '$site/?agent_id=c'; done
  all of it, watched
    $caddy gatehouse tail$address

Ctrl-C ends it. If the port is taken: make run PORT=$((port + 8))

END
wait -n || true
echo "One of the two programs has ended, so the other is stopped." >&2
exit 1
