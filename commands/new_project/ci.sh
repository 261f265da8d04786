#!/bin/sh
# For a CI job: checks the project, then releases the model $1 if one is given. The job needs
# `slipway` on its PATH (source .venv/bin/activate of a checkout of Slipway), a folder that outlives
# it for `home` of slipway.toml or the variables MLFLOW_TRACKING_URI and PREFECT_API_URL, and HF_TOKEN
# for gated repositories. junit.xml has the results of prompts, checks and gates.
set -eu
cd "$(dirname "$0")"
slipway models
test "$#" -gt 0 || exit 0
slipway plan "$1"
code=0
slipway release "$1" --json --junit junit.xml >release.json || code=$?
cat release.json
case $code in
    0) echo "promoted, waiting for approval, or already released" ;;
    3) echo "rejected by a gate, or quarantined: the reasons are in release.json" ;;
    4) echo "inconclusive: too little is known to decide, see release.json" ;;
esac
exit "$code"
