"""``slipway doctor``: is this machine fit, and does what should run on it run?"""

from commands import console
from slipway.settings import Settings


def doctor(*, json: bool = False) -> int:
    """Check this machine and what runs on it; the exit code is 1 if anything fails.

    Args:
        json: Print the checks as JSON.
    """
    settings = Settings()
    console.prepare_prefect(settings, quiet=True)
    from deployments.doctor import examine

    checks = examine(settings)
    if json:
        console.show([check.model_dump(mode="json") for check in checks])
    else:
        rows = [(check.status, check.name, _words(check.finding, check.advice)) for check in checks]
        console.table("Slipway's doctor", ("", "what", "how it is"), rows)
    return 1 if any(check.status == "fail" for check in checks) else 0


def _words(finding: str, advice: str) -> str:
    return f"{finding}\n→ {advice}" if advice else finding
