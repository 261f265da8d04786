"""The devices that artifacts are made for, and whether this machine can run them."""

from slipway.errors import TargetUnavailable
from slipway.values import Entry, SelectRecipe, Target

#: ONNX Runtime's names of what runs each target; a CPU is always there.
_PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "dml": "DmlExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
}


def unrunnable(target: str) -> str | None:
    """Return why an artifact for ``target`` cannot run on this machine; None if it can.

    onnxruntime-genai's own ``is_webgpu_available`` is true in its package for the CPU, which has no
    such provider; ``is_cuda_available`` is not.
    """
    if target == "cpu":
        return None
    import onnxruntime
    import onnxruntime_genai

    available = onnxruntime.get_available_providers()
    if _PROVIDERS.get(target) not in available:
        found = ", ".join(available)
        return f"made for {target}, and the ONNX Runtime of this machine has only {found}"
    if target == "cuda" and not onnxruntime_genai.is_cuda_available():
        return "made for cuda, and the onnxruntime-genai of this machine is built without it"
    return None


def unmeasured(entry: Entry) -> dict[str, str]:
    """Return why candidates of ``entry`` are not measured on this machine, by target."""
    return {target: why for target in _targets(entry) if (why := unrunnable(target))}


def require(entry: Entry) -> None:
    """Check that this machine measures every candidate, unless the entry accepts that it does not.

    Raises:
        TargetUnavailable: If it does not.
    """
    found = unmeasured(entry)
    if found and entry.unmeasured == "refuse":
        target, why = next(iter(found.items()))
        raise TargetUnavailable(entry.name, target, why)


def device(entry: Entry) -> Target:
    """Return the device of the machines that measure ``entry``: the first that is not a CPU."""
    return next((target for target in _targets(entry) if target != "cpu"), "cpu")


def _targets(entry: Entry) -> tuple[Target, ...]:
    recipe = entry.recipe
    candidates = recipe.candidates if isinstance(recipe, SelectRecipe) else ()
    return tuple(dict.fromkeys(candidate.target for candidate in candidates))
