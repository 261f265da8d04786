-- The first start of compose.yaml's database.
CREATE DATABASE prefect;
CREATE DATABASE mlflow;
