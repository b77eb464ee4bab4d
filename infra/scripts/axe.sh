#!/usr/bin/env bash
# Installs axe-core, the accessibility rules the browser tests check every page with, into node_modules/.
# Nothing to do: one line, no network. Without it those tests fail and say so.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if [[ -f $root/node_modules/axe-core/axe.min.js ]]; then
    echo "axe: axe-core is installed"
    exit 0
fi
if ! command -v npm >/dev/null; then
    echo "axe: npm is missing; install it (apt-get install npm), then repeat" >&2
    exit 1
fi
npm install --prefix "$root" --no-package-lock --no-audit --no-fund --ignore-scripts --silent
echo "axe: installed axe-core"
