#!/usr/bin/env bash
# Builds the Modbus device the tests and benchmarks run against, with Debian's libmodbus (infra/scripts/services.sh
# installs it). Nothing to do: one line.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source=$root/tests/servers/libmodbus_server.c
server=$root/build/libmodbus/server

if [[ -x $server && $server -nt $source && $server -nt ${BASH_SOURCE[0]} ]]; then
    echo "libmodbus: the server is built"
    exit 0
fi
if ! command -v gcc >/dev/null || [[ ! -f /usr/include/modbus/modbus.h ]]; then
    echo "libmodbus: gcc or libmodbus is missing: run infra/scripts/services.sh, or install them by hand (gcc, libmodbus-dev)" >&2
    exit 1
fi
mkdir -p "${server%/*}"
gcc -O2 -Wall -Wextra -o "$server" "$source" -lmodbus
echo "libmodbus: built ${server#"$root/"}"
