"""Receives webhooks of the Hugging Face Hub and of MLflow, and sends events to Prefect.

In: HTTP requests. Out: a ``ChangeEvent`` for each model that a webhook may concern, sent after its
sender has the response. ``app`` makes the application, ``hooks`` has its two routes, ``requests``
reads a request, ``outbox`` sends the events. ``python -m deployments.receiver`` starts the server.
"""
