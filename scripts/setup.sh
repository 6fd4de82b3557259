# What ./quickstart and ./runtests do before their own work: packages, build, and saying so.
# Sourced by bash in the root of the repository.
# shellcheck shell=bash

# Names in Debian and Ubuntu; the second list is for the tests alone.
BUILD_PACKAGES=(gcc g++ libc6-dev meson ninja-build pkg-config libdnnl-dev libyaml-dev
                libsentencepiece-dev libjansson-dev libicu-dev zlib1g-dev libxxhash-dev libpcre2-dev
                libcurl4-openssl-dev libarchive-dev libssl-dev libcairo2-dev
                libopenmpi-dev openmpi-bin libmpich-dev mpich)
TEST_PACKAGES=(libcmocka-dev python3 python3-venv clang clang-format sentencepiece
               libsimgrid-dev iproute2)

# OpenMP's threads wait by spinning unless told otherwise; where other programs use the cores too,
# that made training five to eight times slower.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY-passive}

# say TEXT...: a line with the seconds since the start.
say()
{
    printf '[%3d s] %s\n' "$SECONDS" "$*"
}

# quietly LOG COMMAND...: runs with the output in a file, which is shown if the command fails.
quietly()
{
    local log=$1 code=0
    shift
    "$@" >"$log" 2>&1 </dev/null || code=$?
    if [ "$code" -ne 0 ]; then
        tail -n 60 "$log"
        say "failed with exit code $code: $*"
        say "all of its output is in $log"
    fi
    return "$code"
}

is_installed()
{
    dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

# Installs those of the named packages that are missing, or says how to and returns 1.
install_packages()
{
    local name root_command=() missing=()
    if ! command -v apt-get >/dev/null; then
        say "no apt-get here: going on with what is installed; in Debian the packages are: $*"
        return 0
    fi
    for name in "$@"; do
        is_installed "$name" || missing+=("$name")
    done
    if [ "${#missing[@]}" -eq 0 ]; then
        say "packages: all $# are installed"
        return 0
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! { command -v sudo && sudo -n true; } >/dev/null 2>&1; then
            say "packages are missing, and installing them takes root; please run:"
            echo "sudo apt-get update && sudo apt-get install --yes ${missing[*]}"
            return 1
        fi
        root_command=(sudo -n)
    fi
    root_command+=(env DEBIAN_FRONTEND=noninteractive)
    say "packages: installing ${missing[*]}"
    quietly build/apt-update.log "${root_command[@]}" apt-get update ||
        say "going on with the lists of packages that are here"
    quietly build/apt-install.log "${root_command[@]}" \
        apt-get install --yes --no-install-recommends "${missing[@]}"
}

# build FOLDER TARGET [MESON-OPTION...]: sets the folder up if it is new, else changes the options
# that are given, and builds the target.
build()
{
    local folder=$1 target=$2
    shift 2
    say "building $target in $folder/"
    mkdir -p "$folder"
    if [ ! -f "$folder/build.ninja" ]; then
        quietly "$folder/setup.log" meson setup "$folder" "$@" || return 1
    elif [ "$#" -gt 0 ]; then
        quietly "$folder/setup.log" meson configure "$folder" "$@" || return 1
    fi
    quietly "$folder/compile.log" ninja -C "$folder" "$target"
}
