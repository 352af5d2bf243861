# Sourced by ./test: installs the Debian packages that tests use, when run as root on Debian and something is missing.
# NO_INSTALL=1 leaves the machine as it is; the tests that miss something then say so.

# program:package
programs="curl:curl ip:iproute2 iptables:iptables nginx:nginx-light wrk:wrk nghttp:nghttp2-client go:golang-go
    chromium:chromium prometheus:prometheus dockerd:docker.io docker-compose:docker-compose debootstrap:debootstrap"

install_packages() {
    missing=
    for pair in $programs; do
        command -v "${pair%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
    done
    if [ -z "$missing" ] || [ -n "${NO_INSTALL:-}" ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        return 0
    fi
    echo "Installing what the tests use:$missing ..."
    # shellcheck disable=SC2086 # a list of words
    (forbid_services && install_quietly $missing) ||
        echo "Not everything could be installed; the tests will say what they miss." >&2
}

# Programs are wanted, not services: nothing may start because it was installed. Ends with the subshell that calls it.
forbid_services() {
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod +x "$policy"
    fi
}

install_quietly() {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o DPkg::Lock::Timeout=300 --no-install-recommends "$@" >/dev/null
}
