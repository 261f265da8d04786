"""Where a model comes from: a repository on the Hub, a Python package, or a folder.

Comes in: a source of the catalogue. Goes out: a ``Revision`` that cannot change any more, the
``Weights`` of it, downloaded and verified, and the list of published ONNX variants.
"""
