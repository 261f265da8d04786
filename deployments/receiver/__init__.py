"""Receives webhooks of the Hugging Face Hub and of MLflow, and tells Prefect to look again.

``python -m deployments.receiver`` starts it on loopback. ``app`` makes the application; ``hooks``
has its two routes, ``intake`` reads what was sent, ``memory`` knows what was heard before, and
``outbox`` sends the events on once the sender has its answer.
"""
