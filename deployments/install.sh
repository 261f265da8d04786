#!/bin/sh
# Installs what is locked into the environment $1, which is made if there is none; further arguments
# name more files of requirements. pip refuses a file whose SHA-256 is not in the lock, whichever
# index it comes from. It takes wheels only, since building a package downloads what is not locked.
# One line a stage is printed; the rest is in setup.log of the environment.
set -eu
environment=$1
shift
log=$environment/setup.log
python=${PYTHON:-python3}

say() { echo "slipway: $*" >&2; }
fail() { say "$*"; exit 2; }
is_supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; }
version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

if test -x "$environment/bin/python"; then
    is_supported "$environment/bin/python" || fail "$environment has Python \
$(version "$environment/bin/python"), and Slipway needs 3.11, 3.12 or 3.13; remove $environment"
else
    version "$python" >/dev/null 2>&1 ||
        fail "$python does not run; install Python 3.11, 3.12 or 3.13, or name it: make PYTHON=/path/to/python3.11"
    is_supported "$python" || fail "$python is Python $(version "$python"), and Slipway needs 3.11, \
3.12 or 3.13; name one: make PYTHON=/path/to/python3.11"
    say "making the environment with Python $(version "$python")"
    if ! reason=$("$python" -m venv "$environment" 2>&1); then
        rm -rf "$environment"
        fail "$python cannot make an environment: $(echo "$reason" | tr '\n' ' ')"
    fi
fi
: >"$log"

install() {
    "$environment/bin/python" -m pip install --disable-pip-version-check --progress-bar off \
        --no-deps --only-binary :all: --require-hashes -r "$1" >>"$log" 2>&1
}
stop() {
    reason=$(grep '^ERROR' "$log" | tail -n 1 || true)
    if grep -q 'NewConnectionError\|ConnectTimeout\|NameResolutionError\|Max retries' "$log"; then
        reason="the package index does not answer; check the network, or PIP_INDEX_URL"
    fi
    say "nothing more was installed: ${reason:-pip ended with an error}"
    fail "the full output is in $log; run the same command again to continue"
}

say "installing torch, its build for CPUs"
# It is smaller by gigabytes, and nothing here needs the other one.
install requirements-cpu.txt || say "pip has no build of torch for CPUs whose hash is in \
requirements-cpu.txt, so the default build is installed; see docs/settings.md"
for file in requirements.txt requirements-embedded.txt "$@"; do
    say "installing $(grep -c '^[a-zA-Z]' "$file") packages of $file"
    install "$file" || stop
done
# The default build of torch on Linux needs these.
if grep -q '^Requires-Dist: \(cuda\|nvidia\|triton\)' "$environment"/lib/python*/site-packages/torch-*.dist-info/METADATA; then
    say "installing CUDA's libraries, which this build of torch needs (several GB)"
    install requirements-cuda.txt || stop
fi
say "set-up is done; its full output is in $log"
