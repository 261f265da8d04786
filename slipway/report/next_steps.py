"""The commands that a person can run after a release, worded once."""

from slipway.values import Promotion

#: The first smoke prompt. The embedded model answers it correctly, in both wrappers.
QUESTION = "What is the capital of Japan?"


def ask(model: str, *, candidate: bool = False) -> str:
    """Return the command that asks the champion, or else the candidate."""
    option = " --candidate" if candidate else ""
    return f'slipway predict {model} "{QUESTION}"{option}'


def ask_promoted(model: str, promotion: Promotion | None) -> str | None:
    """Return the command that asks what a release promoted; None if no alias names it."""
    aliases = promotion.aliases if promotion else ()
    if not {"champion", "candidate"}.intersection(aliases):
        return None
    return ask(model, candidate="champion" not in aliases)


def beside(model: str, version: int) -> str:
    """Return the command after which the model server's page shows a version beside its own."""
    return f"slipway beside {model} {version}"


def make_champion(model: str, version: int) -> str:
    """Return the command that makes a released version champion where there is none."""
    return f"slipway rollback {model} --to {version} --reason TEXT"
