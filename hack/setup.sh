#!/usr/bin/env bash
# Put onto this machine what a target of the Makefile needs, and only what is missing.
#
#   hack/setup.sh tools demo|lint|test|bench  Debian packages; what is there already is left alone
#   hack/setup.sh venv [EXTRA,...]            .venv: the package, editable, and the extras of setup.cfg
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:/usr/sbin:/sbin
missing=()

# need PACKAGE PROBE: a command, or a file, that shows that the package is not needed.
need() {
    command -v "$2" >/dev/null || [ -e "$2" ] || missing+=("$1")
}

die() {
    printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

install_missing() {
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        die "missing: ${missing[*]} (Debian's names)" "install them with your package manager"
    [ "$(id -u)" = 0 ] || die "missing: ${missing[*]}" "as root: apt-get install ${missing[*]}"
    echo "installing Debian packages: ${missing[*]}" >&2
    export DEBIAN_FRONTEND=noninteractive
    quietly apt-get update
    quietly apt-get -y install --no-install-recommends "${missing[@]}"
    missing=()
}

# Say what a command said only when it fails.
quietly() {
    local said
    said=$("$@" </dev/null 2>&1) && return
    printf '%s\n' "$said" >&2
    die "$* failed" "see above"
}

containers() {
    need iproute2 ip
    need podman podman
    need crun crun
    need busybox-static /usr/share/doc/busybox-static # the dynamic one cannot be an image
}

# clang for libFuzzer, whose runtime is a package of the same version; cc for ASan and UBSan.
compilers() {
    need gcc cc
    need libc6-dev /usr/include/stdlib.h
    need clang clang
    install_missing
    local version runtime
    version=$(clang -dumpversion)
    runtime=("$(clang -print-resource-dir)"/lib/*/libclang_rt.fuzzer*.a)
    need "libclang-rt-${version%%.*}-dev" "${runtime[0]}"
}

tools() {
    case $1 in
    demo) containers ;;
    lint) need shellcheck shellcheck ;;
    bench) need iproute2 ip ;;
    test)
        containers
        compilers
        need runc runc
        need systemd systemd-analyze
        need qemu-user-static qemu-aarch64-static
        ;;
    *) die "no tools for $1" "demo, lint, test or bench" ;;
    esac
    install_missing
}

# The first interpreter that is new enough: a pyenv may put an old one, or a shim of none, in front.
find_python() {
    local python
    for python in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    return 1
}

make_venv() {
    .venv/bin/python -m pip --version >/dev/null 2>&1 && return # else: none, or of a Python that is gone
    local python
    if ! find_python >/dev/null; then # Debian's smallest images have none
        missing+=(python3 python3-venv)
        install_missing
    fi
    python=$(find_python) || die "no Python 3.11 or newer" "install one, and put it into PATH"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        missing+=(python3-venv)
        install_missing
    fi
    "$python" -m venv --clear .venv
}

# No build isolation: pyproject.toml's requirements, zig among them, are wanted afterwards as well.
venv() {
    make_venv
    local pip=(.venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check
        --root-user-action=ignore --constraint hack/constraints.txt)
    local requires
    mapfile -t requires < <(.venv/bin/python -c 'import tomllib
for name in tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"]: print(name)')
    echo "installing into .venv: ${requires[*]} and this package${1:+ with $1}" >&2
    "${pip[@]}" "${requires[@]}"
    "${pip[@]}" --no-build-isolation --editable ".${1:+[$1]}"
}

case ${1:-} in
tools) tools "${2:-}" ;;
venv) venv "${2:-}" ;;
*) die "what to set up?" "hack/setup.sh tools demo|lint|test|bench, or hack/setup.sh venv [EXTRA,...]" ;;
esac
