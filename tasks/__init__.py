"""The Prefect edge: one verb a file, each a thin decorated call into the core."""
