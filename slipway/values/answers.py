"""What a candidate is asked, and what it answers."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from slipway.values.base import Value
from slipway.values.figures import Estimate
from slipway.values.paired import SuitePower
from slipway.values.samples import SampledComparison, Samples
from slipway.values.versions import Contract, LoggedWrapper, WrapperKind

#: Tokens of a vocabulary that are decoded together.
RUN_TOKENS = 16

#: What is ``critical`` and does not pass blocks a promotion; a ``warning`` is shown.
Severity = Literal["critical", "warning"]


class PromptMessage(Value):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from error
    return text


def _local_schema(document: dict[str, Any]) -> dict[str, Any]:
    """Refuse what is no JSON schema, and one that refers to another document."""
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    try:
        validator_for(document).check_schema(document)
    except SchemaError as error:
        raise ValueError(f"{error.json_path}: {error.message}") from error
    if remote := [each for each in _references(document) if not each.startswith("#")]:
        raise ValueError(f"refers to {remote[0]!r}; only references within the schema are followed")
    return document


def _references(part: Any) -> list[str]:
    """Return every reference of a schema, at any depth."""
    if isinstance(part, list):
        return [found for each in part for found in _references(each)]
    if not isinstance(part, dict):
        return []
    own = [text for name in ("$ref", "$dynamicRef") if isinstance(text := part.get(name), str)]
    return [*own, *(found for each in part.values() for found in _references(each))]


_Word = Annotated[str, Field(min_length=1)]
RegularExpression = Annotated[str, Field(max_length=2_000), AfterValidator(_regular_expression)]
JsonSchema = Annotated[dict[str, Any], AfterValidator(_local_schema)]


class ExpectedNumber(Value):
    """A number that a right answer holds.

    Attributes:
        tolerance: Largest difference, in the unit of the value.
    """

    value: float = Field(allow_inf_nan=False)
    tolerance: float = Field(default=0, ge=0, allow_inf_nan=False)


class Prompt(Value):
    """One question of a smoke suite.

    What a right answer has is the conjunction of the fields from ``expected`` on; without any of
    them, no answer is right or wrong.

    Attributes:
        tags: What kind of question it is; results are summed up by tag.
        stop: Texts at which the answer must end.
        group: Prompts of one group are asked together, as one batch.
        repeat: How often it is asked again; greedy decoding must give the same answer.
        expected: Words of which a right answer holds at least one, in whatever letter case.
        forbidden: Words of which a right answer holds none, in whatever letter case.
        matches: Regular expressions, each found somewhere in a right answer.
        json_schema: A right answer is JSON, alone or in one fenced block, that fits.
        number: A right answer holds it.
        judge: ``module:function`` of a Python file beside the suite, which decides.
    """

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    purpose: str
    messages: tuple[PromptMessage, ...] = Field(min_length=1)
    max_tokens: int = Field(default=32, gt=0)
    stop: tuple[str, ...] = ()
    group: str | None = None
    tags: tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]+$")], ...] = ()
    repeat: int = Field(default=0, ge=0, le=9)
    expected: tuple[_Word, ...] = ()
    forbidden: tuple[_Word, ...] = ()
    matches: tuple[RegularExpression, ...] = ()
    json_schema: JsonSchema | None = None
    number: ExpectedNumber | None = None
    judge: str | None = Field(default=None, pattern=r"^[A-Za-z_]\w*:[A-Za-z_]\w*$")

    @property
    def has_right_answer(self) -> bool:
        """Whether an answer can be right or wrong."""
        words = self.expected or self.forbidden or self.matches
        return bool(words or self.judge) or self.json_schema is not None or self.number is not None

    def without_system(self) -> "Prompt":
        """Return the prompt without its system messages; itself if it has nothing else."""
        kept = tuple(each for each in self.messages if each.role != "system")
        return self.model_copy(update={"messages": kept or self.messages})


class Prediction(Value):
    """What one wrapper answered to one prompt.

    Attributes:
        response: The answer as it came, as JSON text; None when there was none.
        repeated: The answer to the same question asked again, the first that differs if there is
            one; None when it was asked once.
        latency_ms: Time of the call, shared equally by the rows of a batch.
        error: One line, if the wrapper raised.
    """

    prompt_id: str
    response: str | None
    repeated: str | None = None
    latency_ms: float
    error: str | None = None


class Rendering(Value):
    """What a wrapper makes of a conversation before the model sees it."""

    prompt_id: str
    text: str
    token_ids: tuple[int, ...]


class TokenizedText(Value):
    """A text as the tokens of a wrapper, and what their decoder makes of these.

    Attributes:
        token_ids: Without a BOS.
        decoded: The text of the tokens as an answer shows it; None if there was an error.
        reversed: That of the tokens in the opposite order, in which bytes are no characters.
    """

    token_ids: tuple[int, ...]
    decoded: str | None
    reversed: str | None


class Tokens(Value):
    """What a wrapper makes of texts and of tokens.

    Attributes:
        texts: In the order in which they were given; None for one that it refuses.
        runs: Texts of all tokens that the wrapper knows, ``RUN_TOKENS`` at a time.
    """

    texts: tuple[TokenizedText | None, ...]
    runs: tuple[str | None, ...]


class StructuredAnswer(Value):
    """What one wrapper answered to a question whose answer has a form.

    Attributes:
        rendered: What the model read, if the question has tools.
        text: None if there was an error.
        error: One line.
    """

    prompt_id: str
    rendered: str | None = None
    text: str | None = None
    error: str | None = None


class Answers(Value):
    """Everything that one wrapper answered, and what that cost.

    Attributes:
        predictions: In the suite's order.
        tokens_per_second: New tokens over all answers, by their total time.
        renderings: What the wrapper made of each prompt; empty if it could not be read.
        conversations: The texts of the generated conversations, None for one that the template
            declines; empty if they could not be read.
        without_system: Ids of the prompts that were asked without their system message, since the
            chat template declines one.
        end_token_ids: Tokens at which it ends an answer.
        tokens: What it makes of other texts; None if it was given none, or cannot be read.
        samples: What it answered when it sampled; None if it was not to.
        structured: What it answered to questions about its capabilities.
    """

    kind: WrapperKind
    contract: Contract
    predictions: tuple[Prediction, ...]
    load_seconds: float
    peak_memory_bytes: int
    tokens_per_second: float | None
    renderings: tuple[Rendering, ...] = ()
    conversations: tuple[str | None, ...] = ()
    without_system: tuple[str, ...] = ()
    end_token_ids: tuple[int, ...] = ()
    tokens: Tokens | None = None
    samples: Samples | None = None
    structured: tuple[StructuredAnswer, ...] = ()


class Grade(Value):
    """Whether the answer to a prompt is right.

    Attributes:
        right: None if it could not be decided.
        unmet: What a right answer does and this one does not, such as "says 'Tokyo'".
    """

    prompt_id: str
    tags: tuple[str, ...] = ()
    right: bool | None
    unmet: tuple[str, ...] = ()


class CheckResult(Value):
    """One expectation about the answers, and whether it held.

    Attributes:
        passed: None when it could not be decided.
        failing: Ids of the prompts at fault.
        column: The fact of every answer that it is about; None if it is about no single one.
    """

    name: str
    severity: Severity
    passed: bool | None
    failing: tuple[str, ...] = ()
    observed: str = ""
    column: str | None = None


class WrapperReport(Value):
    """The smoke test of one wrapper; without answers and with an error if it could not be asked.

    Attributes:
        grades: Of the prompts that have a right answer, in the suite's order.
    """

    wrapper: LoggedWrapper
    answers: Answers | None
    checks: tuple[CheckResult, ...]
    grades: tuple[Grade, ...] = ()
    error: str | None = None


class Regression(Value):
    """A prompt that the champion answers better than the candidate."""

    prompt_id: str
    what: str
    champion: str
    candidate: str


class SmokeReport(Value):
    """What the smoke test of a candidate saw.

    Attributes:
        parity: Whether both wrappers make the same of the same conversation.
        champion: The version that serves today, asked the same; None if there is none.
        against_champion: Whether more prompts were lost against it than chance explains.
        against_source: Likewise against the transformers wrapper.
        power: How surely such a loss is found; None if no loss is looked for.
        answer_length_ratio: Mean length of the ONNX wrapper's answers, as a multiple of that of the
            transformers wrapper's; None if it is unknown.
        sampled: Answers at a temperature; None if the source declares no sampling.
        structured: Whether the capabilities of the entry are those of the source.
    """

    onnx: WrapperReport
    transformers: WrapperReport
    parity: tuple[CheckResult, ...] = ()
    champion: WrapperReport | None = None
    regressions: tuple[Regression, ...] = ()
    against_champion: tuple[CheckResult, ...] = ()
    against_source: tuple[CheckResult, ...] = ()
    power: SuitePower | None = None
    answer_length_ratio: Estimate | None = None
    sampled: SampledComparison | None = None
    structured: tuple[CheckResult, ...] = ()

    @property
    def wrappers(self) -> tuple[WrapperReport, WrapperReport]:
        """Both, the serving one first."""
        return self.onnx, self.transformers
