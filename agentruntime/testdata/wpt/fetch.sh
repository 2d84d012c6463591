#!/usr/bin/env bash
# Fetches the web-platform-tests that the conformance test runs into the folder "files" beside this script. They come out of
# Debian's source packages of Node.js, which has a copy of the parts of web-platform-tests that it runs itself, and of
# Firefox, which has all of it and so the tests of fetch. Versions and checksums are pinned here; what was fetched once is
# kept in the user's cache. WPT_WITHOUT="node24 firefox140" leaves out what it names, and the tests say so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gatehouse/wpt
. ../../../internal/testkit/download.sh

# wanted FOLDER SHA256: whether FOLDER still has to be filled from the archive with that checksum.
wanted() {
	if [[ " ${WPT_WITHOUT:-} " = *" $1 "* ]]; then
		echo "web-platform-tests: $1 is left out, as WPT_WITHOUT asks"
		return 1
	fi
	[ "$(cat "files/$1/.sha256" 2>/dev/null)" != "$2" ]
}

# filled FOLDER SHA256 NAME notes what FOLDER was filled from.
filled() {
	echo "$2" >"files/$1/.sha256"
	echo "web-platform-tests of $3: $(find "files/$1" -type f | wc -l) files"
}

# archive FOLDER SHA1 SHA256 SIZE NAME: a source archive of Node.js, kept whole, and its tests unpacked into FOLDER.
archive() {
	local folder=$1 sha1=$2 sha256=$3 size=$4 name=$5 got=$cache/$3
	wanted "$folder" "$sha256" || return 0
	check "$got" "$sha256" || download n/nodejs "$name" "$sha1" "$sha256" "$size" "$got" "; or run with WPT_WITHOUT=\"$folder\" to do without these tests"
	rm -rf "files/$folder" && mkdir -p "files/$folder"
	tar -xJf "$got" -C "files/$folder" --strip-components=4 --wildcards '*/test/fixtures/wpt'
	filled "$folder" "$sha256" "$name"
}

# excerpt FOLDER SUM SHA1 SHA256 SIZE NAME PATH...: some paths of a large source archive, unpacked into FOLDER. Only they are
# kept, in an archive with the checksum SUM: they are put together so that every machine makes the same bytes of them.
excerpt() {
	local folder=$1 sum=$2 sha1=$3 sha256=$4 size=$5 name=$6 kept=$cache/$2 whole
	shift 6
	wanted "$folder" "$sum" || return 0
	if ! check "$kept" "$sum"; then
		whole=$cache/$sha256
		check "$whole" "$sha256" || download f/firefox-esr "$name" "$sha1" "$sha256" "$size" "$whole" "; or run with WPT_WITHOUT=\"$folder\" to do without these tests"
		echo "taking the tests out of it, which takes half a minute or more"
		rm -rf "files/$folder" && mkdir -p "files/$folder"
		tar -xJf "$whole" -C "files/$folder" --strip-components=4 --wildcards "${@/#/*\/testing\/web-platform\/tests\/}"
		tar --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -cf "$kept.part" -C "files/$folder" .
		if ! check "$kept.part" "$sum"; then
			echo "what came out of $name is not what was pinned: $(sha256sum <"$kept.part" | cut -d" " -f1) instead of $sum; see excerpt in $PWD/fetch.sh" >&2
			exit 1
		fi
		mv "$kept.part" "$kept" && rm "$whole"
	fi
	rm -rf "files/$folder" && mkdir -p "files/$folder"
	tar -xf "$kept" -C "files/$folder"
	filled "$folder" "$sum" "$name"
}

mkdir -p files
archive node24 770210a6fe4f7626885ddc43cb7b16f59154629f e6e0d1a00dfc9e31ab2b074fd99979a48be17c18e8e3edc14306736069bb8f54 \
	23936392 nodejs_24.21.0+dfsg+~cs24.13.4.orig.tar.xz
excerpt firefox140 c3a5589b73fefdfdeb9f6e1050b7b8e18392f7d588c87470739084c914b44aeb \
	82cbe121b83b5c4c6723181001bbe4136939e4fc 5c72347381233dcc97cbd02c0324116258769d8b9b0f869fd0c6f1d59519ce2a \
	682717088 firefox-esr_140.12.0esr.orig.tar.xz \
	fetch/api fetch/data-urls xhr/formdata 'xhr/resources/*.asis' compression/third_party/pako common/gc.js common/utils.js \
	common/get-host-info.sub.js resources/testharness.js resources/idlharness.js resources/webidl2/lib \
	interfaces/fetch.idl interfaces/referrer-policy.idl interfaces/dom.idl interfaces/html.idl LICENSE.md
