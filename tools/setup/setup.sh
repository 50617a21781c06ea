#!/usr/bin/env bash
# Sets up the project's environment in .venv, or does nothing when it is as it should be.
#
# PASSFERRY_PYTHON                 the interpreter to use (3.11 or later)
# PASSFERRY_NO_SYSTEM_PACKAGES=1   never install a system package
# The package index comes from pip's own settings in the environment.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=.venv
state=$venv/.passferry
say() { echo "setup: $*" >&2; }
give_up() { say "$*"; exit 1; }

digest() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d' ' -f1; }

local_packages() {
    local file
    for file in libs/*/pyproject.toml services/*/pyproject.toml tools/*/pyproject.toml; do
        if [ -f "$file" ]; then dirname "$file"; fi
    done
}

requirements_key() { cat tools/setup/setup.sh requirements/*.txt | digest; }
packages_key() { local_packages | while read -r folder; do echo "$folder"; cat "$folder/pyproject.toml"; done | digest; }
is_done() { [ "$(cat "$state/$1" 2>/dev/null)" = "$2" ]; }
mark_done() { mkdir -p "$state"; echo "$2" >"$state/$1.new"; mv "$state/$1.new" "$state/$1"; }

is_usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
find_python() {
    local candidate
    for candidate in ${PASSFERRY_PYTHON:-python3.11 python3 python3.12 python3.13}; do
        if is_usable "$candidate"; then command -v "$candidate"; return; fi
    done
}

install_system_packages() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ "${PASSFERRY_NO_SYSTEM_PACKAGES:-0}" = 0 ] || return 1
    say "installing the system packages $* with apt-get (PASSFERRY_NO_SYSTEM_PACKAGES=1 forbids this)"
    apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "$@" </dev/null >/dev/null
}

make_environment() {
    local python
    python=$(find_python)
    if [ -z "$python" ]; then
        install_system_packages python3 python3-venv || true
        python=$(find_python)
        [ -n "$python" ] || give_up "Python 3.11 or later is needed and was not found: install it" \
            "(Debian: apt-get install python3 python3-venv) or name it in PASSFERRY_PYTHON."
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        install_system_packages python3-venv || give_up "$python has no venv module:" \
            "install it (Debian: apt-get install python3-venv), then run the same command again."
    fi
    say "making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
}

pip_install() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@"; }

install_requirements() {
    say "installing the pinned packages (some minutes the first time)"
    pip_install --require-hashes --no-deps -r requirements/build.txt
    pip_install --require-hashes --no-deps -r requirements/runtime.txt
    pip_install --require-hashes --no-deps -r requirements/dev.txt
}

install_local_packages() {
    local arguments=() folder
    while read -r folder; do arguments+=(-e "./$folder"); done < <(local_packages)
    [ ${#arguments[@]} -gt 0 ] || return 0
    say "installing the packages of this repository"
    pip_install --no-deps --no-build-isolation "${arguments[@]}"
}

mkdir -p .passferry
exec 9>.passferry/setup.lock
if command -v flock >/dev/null; then flock 9; fi # two runs at once: the second waits, then has nothing to do

requirements=$(requirements_key)
packages=$(packages_key)
if ! is_usable "$venv/bin/python" || ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    make_environment
fi
if ! is_done requirements "$requirements"; then
    install_requirements
    mark_done requirements "$requirements"
fi
if ! is_done packages "$packages"; then
    install_local_packages
    mark_done packages "$packages"
fi
if ! is_done backends "$requirements"; then
    # Not fatal: linting needs no backend, and starting one says again what is missing.
    if "$venv/bin/python" -m passferry_devstack prepare </dev/null; then mark_done backends "$requirements"; fi
fi
