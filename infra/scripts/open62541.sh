#!/usr/bin/env bash
# Builds the OPC UA server the tests and benchmarks run against: open62541, from Debian's packages of it. They are of the
# release after ours, so they are unpacked below build/ and not installed. Nothing to do: one line, no network.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
release=trixie
packages=(libopen62541-1.4 libopen62541-1.4-dev libmbedcrypto16 libmbedx509-7)
build=$root/build/open62541
source=$root/tests/servers/open62541_server.c
server=$build/server

if [[ -x $server && $server -nt $source && $server -nt ${BASH_SOURCE[0]} ]]; then
    echo "open62541: the server is built"
    exit 0
fi
for program in apt-get dpkg-deb gcc; do
    if ! command -v "$program" >/dev/null; then
        echo "open62541: $program is missing: this needs Debian and a C compiler (apt-get install gcc libc6-dev)" >&2
        exit 1
    fi
done

unpacked=$build/root
if [[ ! -d $unpacked ]]; then
    # The same mirror this machine's own packages come from.
    mirror=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' | sed -n 's/^Debian Debian //p' | head -n 1)
    if [[ -z $mirror ]]; then
        echo "open62541: no Debian mirror in this machine's apt sources (apt-get update, then repeat)" >&2
        exit 1
    fi
    mkdir -p "$build"
    apt=$(mktemp -d "$build/apt.XXXXXX")
    trap 'rm -rf "$apt"' EXIT
    mkdir -p "$apt"/state/lists/partial "$apt"/cache/archives/partial "$apt"/root
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release main" >"$apt/sources.list"
    own=(-q -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::State="$apt/state" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=)
    echo "open62541: fetching ${packages[*]}"
    if ! (cd "$apt" && apt-get "${own[@]}" update && apt-get "${own[@]}" download "${packages[@]}") >"$apt/log" 2>&1; then
        tail -n 5 "$apt/log" >&2
        echo "open62541: the packages could not be fetched: check the network, then repeat" >&2
        exit 1
    fi
    for package in "$apt"/*.deb; do
        dpkg-deb -x "$package" "$apt/root"
    done
    mv "$apt/root" "$unpacked"
fi

libraries=$(dirname "$(find "$unpacked" -name 'libopen62541.so' | head -n 1)")
# The old kind of path also counts for the libraries of the library.
gcc -O2 -Wall -Wextra -Wno-unused-parameter -o "$server" "$source" -I "$unpacked/usr/include" -L "$libraries" \
    -Wl,--disable-new-dtags,-rpath,"\$ORIGIN${libraries#"$build"}",-rpath-link,"$libraries" -lopen62541
echo "open62541: built ${server#"$root/"}"
