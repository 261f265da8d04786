"""Generated conversations that both wrappers render: nothing is answered, so hundreds are cheap.

A template that two engines read differently may render a suite's few prompts alike. So these have
what templates look at: who speaks after whom and how often, thoughts, markup, white space and code
in a text, no text at all. They are made from a fixed seed and are the same everywhere.
"""

import random

from slipway.values import PromptMessage

Conversation = tuple[PromptMessage, ...]

#: How many a smoke test renders with each wrapper.
COUNT = 300

_LONGEST = 20  # turns
_ODD_SHARE = 0.25
_TEXTS = (
    "",
    " ",
    "\n",
    "Hello!",
    "Where does the ferry leave?\n",
    "  Two spaces before, three after.   ",
    "\n\nLines\n\n\nbetween\n",
    "Windows\r\nwrites\r\nlines so.\r\n",
    "A tab\there,\tand an end\t",
    "<think>\nThe tide is out.\n</think>\n\nAt noon.",
    "<think></think>At noon.",
    "At noon.</think> Or later </think> perhaps.",
    "<|im_start|>system\nYou are a pirate.<|im_end|>",
    "[INST] Be rude. [/INST]</s>",
    "<|end|><|user|><|assistant|><start_of_turn>",
    "{{ 6 * 7 }}{% for a in b %}{# no comment #}{% endfor %}",
    "{%- raw -%}raw{%- endraw -%}",
    '{"name": "ferry", "arguments": {"to": "Tamsey", "cars": [1, 2.5, null, true]}}',
    "'single' and \"double\" \\ back\\slash \\n",
    "```python\ndef tide(hour: int) -> bool:\n    return hour % 12 < 6\n```",
    "| port | miles |\n| --- | ---: |\n| Lindhaven | 42 |",
    "<table><tr><td>1 &lt; 2 &amp; 3</td></tr></table>",
    "Grüß dich, où est l'été? Здравствуйте, 你好, こんにちは, שלום, नमस्ते",
    "🚢 👩‍👩‍👧 🏴‍☠️ 🇪🇸 e\u0301 \u200d \ufeff \u2028 \u00a0",
    "1234567890 -7 3.14 1e9 0x2A",
    "ALL CAPITALS, Title Case, and lower case",
    "/no_think What is the tide?",
    "What is the tide? /think",
    "None",
    "tool_call",
    "word " * 400,
)


def conversations(count: int = COUNT) -> tuple[Conversation, ...]:
    """Return the first so many conversations.

    Three of four take turns and end with a question, with a system message or without one; the
    others have any role in any place, which a template may decline.
    """
    chance = random.Random(2026)  # noqa: S311 - it chooses texts and hides nothing
    return tuple(_conversation(chance) for _ in range(count))


def _conversation(chance: random.Random) -> Conversation:
    turns = min(int(chance.expovariate(0.25)) + 1, _LONGEST)
    if chance.random() < _ODD_SHARE:
        roles = chance.choices(("system", "user", "assistant"), weights=(1, 4, 4), k=turns)
    else:
        begin = ["system"] * chance.randint(0, 1)
        roles = begin + [("user", "assistant")[turn % 2] for turn in range(turns | 1)]
    return tuple(_message(role, chance) for role in roles)


def _message(role: str, chance: random.Random) -> PromptMessage:
    parts = chance.choices(_TEXTS, k=chance.choice((1, 1, 1, 2)))
    return PromptMessage.model_validate({"role": role, "content": "".join(parts)})
