"""The devices that artifacts are made for, and whether this machine can run them."""

from slipway.errors import TargetUnavailable
from slipway.values import Entry, SelectRecipe

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
    """Return why candidates of ``entry`` are not measured on this machine, by target.

    Raises:
        TargetUnavailable: If there is any, and the entry does not accept that.
    """
    recipe = entry.recipe
    candidates = recipe.candidates if isinstance(recipe, SelectRecipe) else ()
    targets = dict.fromkeys(candidate.target for candidate in candidates)
    found: dict[str, str] = {target: why for target in targets if (why := unrunnable(target))}
    if found and entry.unmeasured == "refuse":
        target, why = next(iter(found.items()))
        raise TargetUnavailable(entry.name, target, why)
    return found
