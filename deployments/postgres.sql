-- Users and databases of Prefect and MLflow, each the owner of its own, for an administrator's psql
-- (14 or later): passwords are read from the environment, so that none is on a command line.
\set ON_ERROR_STOP on
\getenv prefect_password PREFECT_PASSWORD
\getenv mlflow_password MLFLOW_PASSWORD
CREATE ROLE prefect LOGIN PASSWORD :'prefect_password';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE DATABASE prefect OWNER prefect;
CREATE DATABASE mlflow OWNER mlflow;
REVOKE ALL ON DATABASE prefect, mlflow FROM PUBLIC;
