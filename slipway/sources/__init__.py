"""Where a model comes from: a repository on the Hub, a Python package, or a folder.

Comes in: an entry of the catalogue. Goes out: a ``Revision``, which names fixed bytes, its
``Weights``, downloaded and verified, and the published ONNX variants of a repository.
"""
