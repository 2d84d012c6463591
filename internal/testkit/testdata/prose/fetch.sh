#!/usr/bin/env bash
# Fetches the English prose that the WAF's profile for language models is measured with into the folder "files" beside this script:
# Debian's packages of fortunes (sayings, quotations, riddles, jokes about computers) and of its FAQ. Versions and checksums are
# pinned here. What was fetched once is kept in the user's cache.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gatehouse/prose
. ../../download.sh

# package POOL NAME SHA1 SHA256 SIZE: a package, unpacked.
package() {
	local name=$2 sha256=$4 got=$cache/$2
	[ "$(cat "files/.$name" 2>/dev/null)" != "$sha256" ] || return 0
	check "$got" "$sha256" || download "$@" "$got" ""
	ar p "$got" data.tar.xz | tar -xJ -C files
	echo "$sha256" >"files/.$name"
}

mkdir -p files
package f/fortune-mod fortunes_1.99.1-7.3_all.deb fecdae7a5137a826a83e9d18b914d703856d7786 41d0551dc0ff52f875a2ecef7c39da2f672ab468c37e170119f7e0245a9d63c5 848988
package f/fortune-mod fortunes-min_1.99.1-7.3_all.deb 27a7af669e14799f28eae5d76f0ab255d9c5d3b9 9eed5b45064e41133dae0967cf3a17588ad77c014fcc7bf1527fa3ea48e44d07 56492
package d/debian-faq debian-faq_11.1_all.deb b9a45ee63d7b4b0a6b20214ca15155483b45d800 427426e0cfa6888622fc1d72631071cb4b5a1f86ccde722e7820bcef284de5d0 499508
