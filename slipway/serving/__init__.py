"""Serve one registered version of the ONNX wrapper as OpenAI's API: ``slipway serve``.

::

    supervisor (``python -m slipway.serving``)          rolls its workers on SIGHUP
    ├── worker   uvicorn + FastAPI: never runs the model, so it always answers
    │   └── engine   one copy of the model; asked one request at a time, over pipes
    └── worker …

Which version is served stands in a pointer file, that a worker reads when it starts.
"""
