"""Fields of chat and completion requests that ask for nothing, by the values that do.

Clients send fields that other servers know. A field that is null is a field that is absent. One of
these values changes no answer, so the field is left out; any other value is refused by name. The
names are those of OpenAI, vLLM (``protocol.py`` of its OpenAI entrypoints), llama.cpp (README of
its server), Ollama (its OpenAI compatibility) and MLflow. The ONNX wrapper imports nothing of
Slipway and holds the same tables; a test compares them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

#: By field: the values that ask for nothing; None for every value.
Neutral = Mapping[str, Sequence[Any] | None]

_EMPTY: Sequence[Any] = ([], {}, "")

_NO_EFFECT = (
    *("metadata", "parallel_tool_calls", "prediction", "prompt_cache_key"),
    *("prompt_cache_retention", "safety_identifier", "service_tier", "store", "user"),
    *("cache_salt", "guided_decoding_backend", "guided_whitespace_pattern", "request_id"),
    *("cache_prompt", "dry_allowed_length", "dry_base", "dry_penalty_last_n"),
    *("dry_sequence_breakers", "id_slot", "mirostat_eta", "mirostat_tau", "repeat_last_n"),
    *("xtc_threshold", "keep_alive"),
)
_IF_EMPTY = (
    *("functions", "logit_bias", "suffix", "tools", "extra_body", "extra_headers", "extra_query"),
    *("bad_words", "chat_template_kwargs", "documents", "kv_transfer_params", "logits_processors"),
    *("mm_processor_kwargs", "stop_token_ids", "vllm_xargs", "grammar", "lora", "context"),
    *("format", "images", "options", "system", "template", "custom_inputs"),
)
_IF_ZERO = (
    *("frequency_penalty", "presence_penalty", "top_logprobs", "min_p", "min_tokens", "priority"),
    *("dry_multiplier", "dynatemp_range", "min_keep", "mirostat", "n_discard", "n_indent"),
    *("n_keep", "n_probs", "t_max_predict_ms", "xtc_probability"),
)
_IF_ONE = (
    *("best_of", "length_penalty", "repetition_penalty", "dynatemp_exponent", "repeat_penalty"),
    *("typical_p",),
)
_IF_FALSE = (
    *("echo", "logprobs", "stream", "add_special_tokens", "continue_final_message", "ignore_eos"),
    *("include_stop_str_in_output", "return_token_ids", "return_tokens_as_token_ids"),
    *("use_beam_search", "post_sampling_probs", "return_progress", "return_tokens"),
    *("thinking_forced_open", "timings_per_token", "raw", "think"),
)
_IF_TRUE = (
    *("add_generation_prompt", "include_reasoning", "skip_special_tokens"),
    *("spaces_between_special_tokens",),
)
_IF_NULL = (
    *("audio", "web_search_options", "allowed_token_ids", "chat_template", "guided_choice"),
    *("guided_grammar", "guided_json", "guided_regex", "logprob_token_ids", "prompt_logprobs"),
    *("structured_outputs", "thinking_token_budget", "truncate_prompt_tokens", "json_schema"),
    *("samplers",),
)

#: Of a request's body.
NEUTRAL: Final[Neutral] = {
    **dict.fromkeys(_NO_EFFECT),
    **dict.fromkeys(_IF_EMPTY, _EMPTY),
    **dict.fromkeys(_IF_ZERO, (0,)),
    **dict.fromkeys(_IF_ONE, (1,)),
    **dict.fromkeys(_IF_FALSE, (False,)),
    **dict.fromkeys(_IF_TRUE, (True,)),
    **dict.fromkeys(_IF_NULL, ()),
    **dict.fromkeys(("function_call", "tool_choice"), ("none", "auto")),
    **dict.fromkeys(("max_completion_tokens", "max_tokens", "n_predict"), (-1,)),
    **dict.fromkeys(("reasoning_effort", "reasoning_format"), ("none",)),
    "modalities": (["text"],),
    "response_format": ({"type": "text"},),
    "top_n_sigma": (-1, 0),
    "verbosity": ("medium",),
}

#: Of a message; clients send back whatever an answer's message held.
NEUTRAL_IN_MESSAGE: Final[Neutral] = {
    **dict.fromkeys(("annotations", "cache_control", "name", "parsed")),
    **dict.fromkeys(
        (
            *("audio", "function_call", "images", "reasoning", "reasoning_content"),
            *("reasoning_details", "refusal", "thinking", "tool_call_id", "tool_calls"),
        ),
        _EMPTY,
    ),
    "prefix": (False,),
}

#: Of a part of a message's content.
NEUTRAL_IN_PART: Final[Neutral] = {"cache_control": None}


def without_neutral(fields: Mapping[str, Any], neutral: Neutral) -> dict[str, Any]:
    """Return the fields that ask for something."""
    return {
        field: value
        for field, value in fields.items()
        if value is not None
        and not (field in neutral and ((same := neutral[field]) is None or value in same))
    }
