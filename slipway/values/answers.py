"""What a candidate is asked, and what it answers."""

from typing import Literal

from pydantic import Field

from slipway.values.base import Value
from slipway.values.versions import Contract, LoggedWrapper, WrapperKind

Severity = Literal["critical", "warning"]


class PromptMessage(Value):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Prompt(Value):
    """One question of a smoke suite.

    Attributes:
        id: Short name that reports use.
        purpose: What it is there to find out.
        max_tokens: New tokens that may be spent.
        stop: Texts at which the answer must end.
        group: Prompts of one group are asked together, as one batch.
        repeat: Asked twice; greedy decoding must give the same answer.
        expected: Words of which a right answer holds at least one, in whatever letter case; empty
            where there is no right answer.
    """

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    purpose: str
    messages: tuple[PromptMessage, ...] = Field(min_length=1)
    max_tokens: int = Field(default=32, gt=0)
    stop: tuple[str, ...] = ()
    group: str | None = None
    repeat: bool = False
    expected: tuple[str, ...] = ()


class Prediction(Value):
    """What one wrapper answered to one prompt.

    Attributes:
        response: The answer as it came, as JSON text; None when there was none.
        repeated: The answer to the same question asked again; None when it was asked once.
        latency_ms: Time of the call, shared equally by the rows of a batch.
        error: One line, when the wrapper raised.
    """

    prompt_id: str
    response: str | None
    repeated: str | None = None
    latency_ms: float
    error: str | None = None


class Rendering(Value):
    """What a wrapper makes of a conversation before the model sees it.

    Attributes:
        text: The conversation in the model's chat markup.
        token_ids: What the model is fed.
    """

    prompt_id: str
    text: str
    token_ids: tuple[int, ...]


class Answers(Value):
    """Everything that one wrapper answered, and what that cost.

    Attributes:
        predictions: In the suite's order.
        load_seconds: Time from the registry's address to a model that answers.
        peak_memory_bytes: Most that its process held at once.
        tokens_per_second: New tokens over all answers, by their total time.
        renderings: What the wrapper made of each prompt; empty if it could not be read.
        end_token_ids: Tokens at which it ends an answer.
    """

    kind: WrapperKind
    contract: Contract
    predictions: tuple[Prediction, ...]
    load_seconds: float
    peak_memory_bytes: int
    tokens_per_second: float | None
    renderings: tuple[Rendering, ...] = ()
    end_token_ids: tuple[int, ...] = ()


class CheckResult(Value):
    """One expectation about the answers, and whether it held.

    Attributes:
        name: What is expected, in words.
        severity: A failed ``critical`` check blocks, a ``warning`` is shown.
        passed: None when it could not be decided.
        failing: Ids of the prompts at fault.
        observed: What was seen instead, in one line.
        column: The fact of every answer that it is about; None if it is about no single one.
    """

    name: str
    severity: Severity
    passed: bool | None
    failing: tuple[str, ...] = ()
    observed: str = ""
    column: str | None = None


class WrapperReport(Value):
    """The smoke test of one wrapper.

    Attributes:
        wrapper: Which version was asked.
        answers: What it answered; None when it could not be asked at all.
        checks: The expectations, in the suite's order.
        error: One line, when the wrapper could not be asked at all.
    """

    wrapper: LoggedWrapper
    answers: Answers | None
    checks: tuple[CheckResult, ...]
    error: str | None = None


class Regression(Value):
    """A prompt that the champion answers better than the candidate.

    Attributes:
        what: What the champion does and the candidate does not, in one line.
    """

    prompt_id: str
    what: str
    champion: str
    candidate: str


class SmokeReport(Value):
    """What the smoke test of a candidate saw.

    Attributes:
        onnx: The wrapper that serves.
        transformers: The reference.
        parity: Whether both wrappers make the same of the same conversation.
        champion: The version that serves today, asked the same; None if there is none.
        regressions: What it answers better.
        against_champion: Whether that is more than an accident.
    """

    onnx: WrapperReport
    transformers: WrapperReport
    parity: tuple[CheckResult, ...] = ()
    champion: WrapperReport | None = None
    regressions: tuple[Regression, ...] = ()
    against_champion: tuple[CheckResult, ...] = ()

    @property
    def wrappers(self) -> tuple[WrapperReport, WrapperReport]:
        """Both, the serving one first."""
        return self.onnx, self.transformers
