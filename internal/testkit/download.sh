# What the scripts share that fetch data for tests out of Debian's packages: sourced, with "cache" set to the folder in which files are kept.

check() { [ -f "$1" ] && echo "$2  $1" | sha256sum --check --status; }

# get URL FILE SHA256 SIZE fetches with Debian's own client where there is one, else with curl.
get() {
	local helper=/usr/lib/apt/apt-helper part client
	mkdir -p "$cache"
	part=$(mktemp "$cache/part.XXXXXX")
	if [ -x $helper ]; then
		$helper download-file "$1" "$part" "SHA256:$3" >/dev/null 2>&1 &
	elif command -v curl >/dev/null; then
		curl -fsSL --retry 2 -o "$part" "$1" &
	else
		echo "neither apt nor curl is here to fetch $1" >&2
		rm -f "$part"
		return 1
	fi
	client=$!
	while sleep 1 && kill -0 $client 2>/dev/null; do
		((SECONDS % 10)) || echo "  $(($(stat -c %s "$part" 2>/dev/null || echo 0) * 100 / $4)) %"
	done
	wait $client || true
	if check "$part" "$3"; then mv "$part" "$2"; else rm -f "$part"; return 1; fi
}

# download POOL NAME SHA1 SHA256 SIZE FILE WAY-OUT: a file of Debian's, SIZE bytes of it. The SHA-256 is what is trusted; the SHA-1 is
# the name that Debian's archive of everything it ever published has for the file, which leaves the mirrors when a newer
# version comes.
download() {
	local pool=$1 name=$2 sha1=$3 sha256=$4 size=$5 into=$6
	local escaped=${name//+/%2b}
	escaped=${escaped//\~/%7e}
	echo "fetching $name, $(((size + 999999) / 1000000)) MB"
	get "http://deb.debian.org/debian/pool/main/$pool/$escaped" "$into" "$sha256" "$size" ||
		get "https://snapshot.debian.org/file/$sha1" "$into" "$sha256" "$size" || {
		cat >&2 <<-END
			$name can be had neither from Debian's mirrors nor from https://snapshot.debian.org/file/$sha1.
			See that the network lets one of them through; or copy $cache from another checkout's user;
			or pin a newer version in $PWD/fetch.sh$7.
		END
		exit 1
	}
}

if ! command -v xz >/dev/null; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		apt-get update -q && apt-get install -yq --no-install-recommends xz-utils
	else
		echo "unpacking Debian's packages needs xz: install it, then run this again" >&2
		exit 1
	fi
fi
