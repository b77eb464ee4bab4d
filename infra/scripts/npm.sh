#!/usr/bin/env bash
# Installs what the tests take from npm (package.json) into node_modules/: accessibility rules, servers of other makers.
# Nothing to do: one line, no network. Without it the tests that need it fail and say so.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
    echo "npm: npm is missing; install it (apt-get install npm), then repeat" >&2
    exit 1
fi
missing=$(cd "$root" && node -e '
const wanted = require("./package.json").devDependencies;
const has = (name) => { try { return require(`./node_modules/${name}/package.json`).version; } catch { return null; } };
console.log(Object.keys(wanted).filter((name) => has(name) !== wanted[name]).join(" "));
')
if [[ -z $missing ]]; then
    echo "npm: everything in package.json is installed"
    exit 0
fi
npm install --prefix "$root" --no-package-lock --no-audit --no-fund --ignore-scripts --silent
echo "npm: installed $missing"
