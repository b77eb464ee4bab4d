#!/usr/bin/env bash
# Installs the programs the browser and server tests run, from Debian. Nothing to do: one line, no network.
# They are only installed: the tests start their own copies on free loopback ports.
set -euo pipefail

declare -A package_of=([chromium]=chromium [gcc]="gcc libc6-dev" [influxd]=influxdb [mosquitto]=mosquitto [nginx]=nginx-light [postgres]=postgresql)
# Debian keeps PostgreSQL's programs out of the path, one folder for each version.
PATH="$PATH:/usr/sbin:/sbin$(printf ':%s' /usr/lib/postgresql/*/bin)"

missing=()
for program in "${!package_of[@]}"; do
    command -v "$program" >/dev/null || missing+=("${package_of[$program]}")
done
[[ -f ${HEADERS:-/usr/include}/modbus/modbus.h ]] || missing+=(libmodbus-dev)
if ((${#missing[@]} == 0)); then
    echo "services: chromium, gcc, influxd, libmodbus, mosquitto, nginx and postgres are installed"
    exit 0
fi

install="apt-get install --no-install-recommends ${missing[*]}"
if ! command -v apt-get >/dev/null; then
    echo "services: missing ${missing[*]}, and this is not a Debian machine: install them by hand (see docs/historian.md, docs/records.md)" >&2
    exit 1
fi
if ((EUID != 0)); then
    echo "services: missing ${missing[*]}; install them as root: sudo apt-get update && sudo $install" >&2
    exit 1
fi

log=$(mktemp)
# Installing PostgreSQL makes and starts a cluster, unless it is told not to while it is installed.
clusters=/etc/postgresql-common/createcluster.d
no_cluster=$clusters/lineside-install.conf
trap 'rm -f "$log" "$no_cluster"' EXIT
if [[ " ${missing[*]} " == *" postgresql "* ]]; then
    mkdir -p "$clusters"
    echo "create_main_cluster = false" >"$no_cluster"
fi
export DEBIAN_FRONTEND=noninteractive
echo "services: installing ${missing[*]}"
if ! { apt-get update && $install --yes; } >"$log" 2>&1; then
    grep -E '^(E|W):' "$log" | tail -n 5 >&2 || tail -n 5 "$log" >&2
    echo "services: apt-get could not install ${missing[*]}: check the network and /etc/apt/sources.list, then repeat" >&2
    exit 1
fi

# Debian starts what it installs; the ports stay free for whoever had them.
if [[ -d /run/systemd/system ]]; then
    for package in "${missing[@]}"; do
        case $package in
            influxdb) systemctl disable --now influxdb ;;
            mosquitto) systemctl disable --now mosquitto ;;
            nginx-light) systemctl disable --now nginx ;;
            postgresql) systemctl disable --now postgresql ;;
        esac
    done
fi
echo "services: installed ${missing[*]}"
