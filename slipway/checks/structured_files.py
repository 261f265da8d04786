"""The questions of a capability: one JSON file each, with the tools that its prompts have."""

from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, model_validator

from slipway.catalogue import read_json
from slipway.system.store import sha256
from slipway.values import Answers, Capability, Entry, StructuredPrompt, StructuredRequest, Value


class CapabilityFile(Value):
    """The questions of one capability.

    Attributes:
        tools: The functions that every prompt of the file may call, as in OpenAI's API.
    """

    tools: tuple[dict[str, Any], ...] = ()
    prompts: tuple[StructuredPrompt, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _have_a_form(self) -> "CapabilityFile":
        """Refuse a question that every answer would satisfy."""
        if not self.tools and any(each.json_schema is None for each in self.prompts):
            raise ValueError("every prompt has to have a json_schema, or the file has tools")
        return self


_FILE = TypeAdapter(CapabilityFile)


def request_of(entry: Entry, expectations: Path) -> StructuredRequest:
    """Return the questions of an entry's capabilities.

    Raises:
        SourceMissing: There is no file for one of them.
        CatalogueInvalid: It has other content.
    """
    files = [read_json(_FILE, _path(expectations, each)) for each in entry.capabilities]
    return StructuredRequest(
        prompts=tuple(
            prompt.model_copy(update={"tools": file.tools})
            for file in files
            for prompt in file.prompts
        )
    )


def repeated(request: StructuredRequest, source: Answers | None) -> StructuredRequest:
    """Return the questions for the candidate, as the source's chat template rendered them."""
    answers = source.structured if source else ()
    rendered = {each.prompt_id: each.rendered for each in answers if each.rendered}
    return request.model_copy(update={"rendered": rendered})


def digests(entry: Entry, expectations: Path) -> dict[str, str]:
    """Return the SHA-256 of the file of each capability, by its name; none without any."""
    return {
        f"capability {each}": sha256(_path(expectations, each))
        for each in sorted(set(entry.capabilities))
    }


def _path(expectations: Path, capability: Capability) -> Path:
    return expectations / "capabilities" / f"{capability}.json"
