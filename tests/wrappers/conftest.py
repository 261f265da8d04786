"""The tiny model in each form that the wrapper's tests need, built once a session."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.support.tiny_phi3 import build_onnx

WRAPPER = Path(__file__).parents[2] / "wrappers" / "onnx_genai.py"
Load = Callable[..., Any]


@pytest.fixture(scope="session")
def onnx_folder(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tiny model as the builder writes it."""
    return build_onnx(checkpoint, tmp_path_factory.mktemp("onnx"))


@pytest.fixture(scope="session")
def wrapper() -> ModuleType:
    """Return the wrapper's module, reached by path as MLflow reaches it."""
    spec = importlib.util.spec_from_file_location("onnx_genai_wrapper", WRAPPER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def load(wrapper: ModuleType) -> Load:
    """Return a function that loads a folder under a model configuration, as MLflow does."""

    def load_folder(folder: Path, **model_config: Any) -> Any:
        model = wrapper.OnnxGenaiModel()
        artifacts = {"model": str(folder)}
        model.load_context(SimpleNamespace(artifacts=artifacts, model_config=model_config))
        return model

    return load_folder


@pytest.fixture(scope="session")
def model(load: Load, onnx_folder: Path) -> Any:
    """Return the tiny model, loaded with the defaults."""
    return load(onnx_folder)
