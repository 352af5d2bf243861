# Sourced by ./lab and ./test: makes .venv and installs what a lock file names, when something has changed.
# Usage: . scripts/venv.sh && venv run|dev

venv() {
    if ! is_new_enough .venv/bin/python; then
        rm -rf .venv
        make_venv
    fi
    if [ "$(cat ".venv/installed-$1" 2>/dev/null)" != "$(wanted "$1")" ]; then
        echo "Installing what pyproxy needs into .venv ..."
        .venv/bin/python -m pip install --quiet --require-hashes -r requirements/build.lock -r "requirements/$1.lock"
        .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
        wanted "$1" > ".venv/installed-$1"
        wanted run > .venv/installed-run # which dev has all of
    fi
}

wanted() {
    cat requirements/build.lock "requirements/$1.lock" pyproject.toml | cksum
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

make_venv() {
    python=
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if is_new_enough "$candidate"; then
            python=$candidate
            break
        fi
    done
    if [ -z "$python" ]; then
        echo "pyproxy needs Python 3.11 or newer. If it is not on the PATH, set PYTHON to it." >&2
        return 1
    fi
    # Debian's python3 has the module venv but not the pip that goes into a new environment.
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
            echo "$python cannot make virtual environments. On Debian and Ubuntu: sudo apt-get install python3-venv" >&2
            return 1
        fi
        echo "Installing python3-venv, which Debian's python3 comes without ..."
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
    fi
    "$python" -m venv .venv
}
