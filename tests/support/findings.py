"""What was found of a release: checks that failed, prompts that regressed, what changed."""

from slipway.values import Change, CheckResult, Regression

COMMIT = "12fd25f77366fa6b3b4b768ec3050bf629380bac"
LOOP = "The sea is salty because the sea is salty because the sea is salty because the sea is salty"
LOOP_CHECK = CheckResult(
    name="hardly any answer is a loop",
    severity="critical",
    passed=False,
    failing=("batch-sea", "batch-wind"),
    observed=f"longest_repeat_ratio=0.97, output='{LOOP[:32]}…",
)
SLOW_CHECK = CheckResult(
    name="every answer takes at most 10 seconds",
    severity="warning",
    passed=False,
    failing=("definition",),
    observed="11.9 s",
)
UNDECIDED_CHECK = CheckResult(
    name="asked again, the answer is the same",
    severity="critical",
    passed=None,
    observed="nothing to check",
)
ENDED = "it was ended for memory at 6.0 GB"
PARITY = (
    CheckResult(
        name="both wrappers write every conversation alike",
        severity="critical",
        passed=True,
        observed="8 of 8 prompts",
    ),
    CheckResult(
        name="both wrappers feed the model the same tokens",
        severity="warning",
        passed=False,
        failing=("emoji",),
        observed="31 tokens against 33",
    ),
)
REGRESSION = Regression(
    prompt_id="json-object",
    what="valid JSON",
    champion='{"name": "Ada", "age": 36}',
    candidate='{"name": "Ada", "age": 36',
)
CHANGES = (
    Change(what="commit", before="0" * 12, after=COMMIT[:12]),
    Change(what="config.json: rope_theta", before="10000", after="100000"),
    Change(what="tools: transformers", before="5.21.0", after="5.22.1"),
    Change(what="weights: generation_config.json", before=None, after="ef" * 6),
)
