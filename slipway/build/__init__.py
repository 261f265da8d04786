"""Weights to ONNX artifacts.

Comes in: verified weights and a recipe. Goes out: one ``BuildResult`` for each candidate of the
recipe, built by onnxruntime-genai in a child process, or taken from what a repository publishes.
"""
