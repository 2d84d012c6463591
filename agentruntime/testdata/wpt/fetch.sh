#!/usr/bin/env bash
# Fetches the web-platform-tests that the conformance test runs into the folder "files" beside this script. They come out of
# Debian's source packages of Node.js, which has a copy of the parts of web-platform-tests that it runs itself. Versions
# and checksums are pinned here; what was fetched once is kept in the user's cache.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gatehouse/wpt

# archive FOLDER SHA1 SHA256 NAME NEEDED: one source archive, unpacked into FOLDER. The SHA-256 is what is trusted; the SHA-1 is the name that Debian's
# archive of everything it ever published has for the file. Without a needed one the run fails; without the other the tests
# that need it say that they did not run.
archive() {
	local into=files/$1 sha1=$2 sha256=$3 name=$4 needed=$5 got=$cache/$3
	[ "$(cat "$into/.sha256" 2>/dev/null)" != "$sha256" ] || return 0
	if ! check "$got" "$sha256"; then
		mkdir -p "$cache"
		local escaped=${name//+/%2b}
		escaped=${escaped//\~/%7e}
		get "http://deb.debian.org/debian/pool/main/n/nodejs/$escaped" "$got" "$sha256" ||
			get "https://snapshot.debian.org/file/$sha1" "$got" "$sha256" || {
			echo "$name can be had neither from Debian's mirrors nor from its snapshots: web-platform-tests of it are left out" >&2
			[ "$needed" = optional ] && return 0
			exit 1
		}
	fi
	rm -rf "$into" && mkdir -p "$into"
	tar -xJf "$got" -C "$into" --strip-components=4 --wildcards '*/test/fixtures/wpt'
	echo "$sha256" >"$into/.sha256"
	echo "web-platform-tests of $name: $(find "$into" -type f | wc -l) files"
}

check() { [ -f "$1" ] && echo "$2  $1" | sha256sum --check --status; }

# get URL FILE SHA256 fetches with Debian's own client where there is one, else with curl.
get() {
	local helper=/usr/lib/apt/apt-helper part
	part=$(mktemp)
	if [ -x $helper ]; then
		$helper download-file "$1" "$part" "SHA256:$3" >/dev/null 2>&1 || true
	elif command -v curl >/dev/null; then
		curl -fsSL --retry 2 -o "$part" "$1" || true
	else
		echo "neither apt nor curl is here to fetch $1" >&2
	fi
	if check "$part" "$3"; then mv "$part" "$2"; else rm -f "$part"; return 1; fi
}

if ! command -v xz >/dev/null; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		apt-get update -q && apt-get install -yq --no-install-recommends xz-utils
	else
		echo "unpacking the web-platform-tests needs xz: install it, then run this again" >&2
		exit 1
	fi
fi
mkdir -p files
archive node20 7ed7a340dc165334953d0a57eb4c2600e4d3081a 5e5559381ad031d245a8efa403458abbb73755f74c3e6380f185a4dd342b7949 nodejs_20.19.2+dfsg.orig.tar.xz needed
archive node24 770210a6fe4f7626885ddc43cb7b16f59154629f e6e0d1a00dfc9e31ab2b074fd99979a48be17c18e8e3edc14306736069bb8f54 nodejs_24.21.0+dfsg+~cs24.13.4.orig.tar.xz optional
