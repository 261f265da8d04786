"""Serves registered versions of the ONNX wrapper as OpenAI's API: ``slipway serve``.

::

    supervisor (``python -m slipway.serving``)          replaces its workers on SIGHUP
    ├── worker   uvicorn + FastAPI: never runs the model, so it always answers
    │   └── engine   holds one copy of the model; answers many requests at a time, over pipes
    └── worker …

Several models have such a server each, and one process passes requests on to them: ``front``.

In: a pointer file, which names the version that workers load when they start.
Out: answers over HTTP.
"""
