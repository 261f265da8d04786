"""An error's text says what happened and what to do, on one line."""

import pytest

from slipway import errors
from slipway.errors import SlipwayError

GB = 1_000_000_000


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.UnknownModel("tyni", ("tiny",)), "unknown model 'tyni'; the catalogue has tiny"),
        (
            errors.SourceMissing("package tiny", "pip install --no-deps tiny"),
            "package tiny was not found: pip install --no-deps tiny",
        ),
        (
            errors.AccessDenied("acme/closed", "accept its terms on the Hub and set HF_TOKEN"),
            "no access to acme/closed: accept its terms on the Hub and set HF_TOKEN",
        ),
        (
            errors.NoChampion("nothing"),
            "model 'nothing' has no champion; run `slipway release nothing`",
        ),
        (
            errors.InternalError("ZeroDivisionError: no", "logs/a.log"),
            "internal error: ZeroDivisionError: no; traceback: logs/a.log",
        ),
        (
            errors.SourceRefused("a.py", "code is never run", "remove it"),
            "a.py: code is never run; remove it",
        ),
        (
            errors.ArchitectureUnsupported("GPT2LMHeadModel", ("Phi3ForCausalLM",)),
            (
                "config.json: architecture GPT2LMHeadModel cannot be quantized here; select a "
                "published ONNX artifact, or use one of Phi3ForCausalLM"
            ),
        ),
        (
            errors.LicenseNotAllowed("tiny", None, ("mit", "apache-2.0")),
            (
                "models.tiny.licenses: the source's license is not declared (allowed: mit, "
                "apache-2.0); read it, and add it to the list if you may use it"
            ),
        ),
        (
            errors.LicenseNotAllowed("tiny", "gpl-3.0", ("mit",)),
            (
                "models.tiny.licenses: the source's license is gpl-3.0 (allowed: mit); "
                "read it, and add it to the list if you may use it"
            ),
        ),
        (
            errors.NoVariant("acme/tiny", "cpu int4", ()),
            (
                "acme/tiny: no single variant for cpu int4; it has no folder with a "
                "genai_config.json; select from another repository"
            ),
        ),
        (
            errors.NoVariant("acme/tiny", "cpu int4", ("a (cuda)", "b (dml)")),
            (
                "acme/tiny: no single variant for cpu int4; it has a (cuda), b (dml); "
                "correct the recipe, or name its folder or model"
            ),
        ),
        (
            errors.MachineTooSmall("download", "disk", 8 * GB, 3 * GB),
            (
                "download needs 8.0 GB of disk, and 3.0 GB are free; "
                "free some, or set SLIPWAY_HOME to a larger disk"
            ),
        ),
        (
            errors.MachineTooSmall("build", "memory", 8 * GB, 3 * GB),
            (
                "build needs 8.0 GB of memory, and 3.0 GB are free; "
                "close something, or list a candidate that needs less"
            ),
        ),
        (
            errors.StepCrashed("build", "ValueError: no", "logs/a.log"),
            "build crashed: ValueError: no; full output: logs/a.log",
        ),
        (
            errors.StepTimedOut("build", 60, "logs/a.log"),
            (
                "build did not end within 60 s and was stopped; raise "
                "SLIPWAY_STEP_TIMEOUT_SECONDS if it was still working; full output: logs/a.log"
            ),
        ),
        (
            errors.StepOutOfMemory("build", 6 * GB, "logs/a.log"),
            (
                "build was ended for memory at 6.0 GB; use a larger machine, raise "
                "SLIPWAY_STEP_MEMORY_GB, or list a smaller candidate; full output: logs/a.log"
            ),
        ),
        (
            errors.StoreDamaged("weights-1", "model.bin"),
            "store entry weights-1: model.bin is missing or changed; a retry makes it again",
        ),
        (
            errors.Unreachable("MLflow", "http://127.0.0.1:5000", "refused"),
            (
                "MLflow at http://127.0.0.1:5000 does not answer (refused); "
                "start it, or correct its address"
            ),
        ),
        (
            errors.RegistryConflict("tiny", "version 3 is gone"),
            "tiny: version 3 is gone; run it again",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, SlipwayError) else "",
)
def test_the_text_says_what_happened_and_what_to_do(error: SlipwayError, text: str) -> None:
    """Word for word, since people act on it."""
    assert str(error) == text


def test_two_errors_with_the_same_fields_are_two_errors() -> None:
    """An exception stays what it was raised as, also as the key of a set."""
    one, two = (errors.StoreDamaged("weights-1", "a") for _ in range(2))

    assert one != two
    assert len({one, two}) == 2
