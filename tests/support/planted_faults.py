"""What is planted: faults with the gates and checks that are meant for them, and what is none."""

import numpy as np

from slipway.checks.regressions import SOURCE
from tests.support.model_changes import (
    DOWN,
    EMBEDDING,
    HEAD,
    Plant,
    add_begin,
    answering,
    counting,
    echo,
    edit,
    flip,
    pad_file,
    pad_vocabulary,
    predicting,
    put,
    rename,
    sampling,
    saying,
    shiver,
    shout,
    soften,
    swap,
    together,
    truncate,
    turn,
    weights,
    write,
)
from tests.support.tiny_phi3 import CHAT_TEMPLATE, END_OF_TEXT

UNUSED = 7  # a token that ends nothing

SAYS = "every answer says something"
LOOPS = "hardly any answer is a loop"
ERRORS = "every prompt is answered without an error"
COMPLETION = "every answer is a chat completion"
ADDS_UP = "the token counts add up"
REASON = "the finish reason is true"
STOPS = "no answer holds its stop text"
AGAIN = "asked again, the answer is the same"
COUNT = "there is one answer to every prompt, and no other"
TEXT = "both render a conversation to the same prompt"
TOKENS = "both make the same tokens of the same prompt"
ENDS = "onnx ends at every end token of transformers"
PLACES = "an answer that ends in one wrapper ends in the other"
USAGE = "the counted prompt tokens are those that the model receives"
ANSWERS = "greedy answers agree for 90% of their length"

ADDING_BEGIN = """
def _changed(self, prompt):
    return self._tokenizer.encode(prompt).ids

OnnxGenaiModel.encode = _changed
"""

OTHER_TURNS = CHAT_TEMPLATE.replace("'<|' + message['role'] + '|>\n'", "message['role'] + ': '")
WITHOUT_SYSTEM = CHAT_TEMPLATE.replace("in messages", "in messages if message['role'] != 'system'")
SAME_TEMPLATE = "{# The markup of Phi-3. #}\n" + CHAT_TEMPLATE.replace(" + ", "  +  ")

CLOSE = ("kl_mean", "top1_agreement")
#: In the weights: what an artifact says of the next token is held against its source.
IN_WEIGHTS = (
    Plant("64 bytes of a layer flipped", CLOSE, weights(DOWN, flip)),
    Plant("a layer set to zero", CLOSE, weights(DOWN, put(..., 0))),
    Plant("a NaN in a layer", ("broken_positions",), weights(DOWN, put((0, 0), np.nan))),
    Plant("an infinity in a layer", ("broken_positions",), weights(DOWN, put((0, 0), np.inf))),
    Plant(
        "a NaN in one token's embedding",
        ("broken_positions",),
        weights(EMBEDDING, put((ord("e") - 27, 0), np.nan)),
    ),
    Plant(
        "two tokens swapped in the output layer",
        (*CLOSE, "perplexity_ratio"),
        weights(HEAD, swap(70, 75)),
    ),
    Plant(
        "rotary positions that run backwards",
        (*CLOSE, "kl_long"),
        weights("sin_cache", turn),
    ),
    Plant("a perplexity of half the source's", ("perplexity_ratio",), weights(HEAD, soften)),
    Plant("padding of 200 kB in the file", ("size_bytes",), pad_file),
    Plant("the end of the weights cut off", ("kl_mean",), truncate),
)
#: In the files beside the weights: what both wrappers make of a conversation is compared.
IN_FILES = (
    Plant(
        "a chat template of another model",
        (TEXT, SOURCE),
        write("chat_template.jinja", OTHER_TURNS),
    ),
    Plant(
        "a template that ignores the system turn",
        (TEXT,),
        write("chat_template.jinja", WITHOUT_SYSTEM),
    ),
    Plant(
        "a tokenizer that lacks its merges",
        (TOKENS,),
        edit("tokenizer.json", lambda found: found["model"]["merges"].clear()),
    ),
    Plant(
        "a tokenizer that adds a BOS", (TOKENS,), edit("tokenizer.json", add_begin), ADDING_BEGIN
    ),
    Plant(
        "an end of turn that ends nothing",
        (ENDS, PLACES),
        edit(
            "genai_config.json",
            lambda config: config["model"].update(eos_token_id=[END_OF_TEXT, UNUSED]),
        ),
    ),
    Plant("an unknown token that is likelier than the end", (ANSWERS,), weights(HEAD, shout)),
)
#: In the wrapper's code: answers are held against the suite, and figures against their gates.
IN_CODE = (
    Plant(
        "a wrapper that sleeps for 0.8 s",
        ("median_latency_ms",),
        code=answering("import time; time.sleep(0.8); completion = chat()"),
    ),
    Plant(
        "a wrapper that counts no new token",
        ("tokens_per_second",),
        code=counting(completion="0", total='u["prompt_tokens"]'),
    ),
    Plant("a wrapper that says nothing", (SAYS,), code=saying('" "')),
    Plant(
        "an answer twice as long",
        ("answer_length_ratio",),
        code=answering(
            'completion = chat(); said = completion["choices"][0]["message"]; '
            'said["content"] += " " + said["content"]'
        ),
    ),
    Plant("a wrapper that repeats itself", (LOOPS,), code=saying('"and then again " * 20')),
    Plant(
        "a wrapper that raises at one question",
        (ERRORS,),
        code=answering('completion = [][0] if "joke" in question else chat()'),
    ),
    Plant(
        "a wrapper that counts a token too many",
        (USAGE,),
        code=counting(prompt='u["prompt_tokens"] + 1', total='u["total_tokens"] + 1'),
    ),
    Plant(
        "a wrapper whose counts do not add up",
        (ADDS_UP,),
        code=counting(total='u["total_tokens"] + 1'),
    ),
    Plant(
        "a wrapper that answers anew each time",
        (AGAIN,),
        code=saying("question + uuid.uuid4().hex"),
    ),
    Plant(
        "a wrapper that tells a path of its machine",
        (COMPLETION,),
        code=answering('completion = chat() | {"model": "/srv/models/tiny"}'),
    ),
    Plant(
        "a wrapper that always ends for length",
        (REASON,),
        code=answering('completion = chat(); completion["choices"][0]["finish_reason"] = "length"'),
    ),
    Plant(
        "a wrapper that hears no stop text",
        (STOPS,),
        code=answering('sampling.pop("stop", None); completion = chat()'),
    ),
    Plant("a wrapper that mixes up a batch", (ANSWERS,), code=predicting("answers[::-1]")),
    Plant(
        "a wrapper that answers once too often", (COUNT,), code=predicting("[*answers, answers[0]]")
    ),
)
#: At a temperature: greedy answers are those of the healthy model.
IN_SAMPLES = (
    Plant(
        "an end of turn that is only likely at a temperature",
        ("stop_rate_loss",),
        weights(HEAD, echo),
    ),
    Plant(
        "a wrapper that repeats itself at a temperature",
        ("loop_rate_gain",),
        code=sampling("'and then again ' * 20"),
    ),
    Plant(
        "a wrapper that refuses at a temperature",
        ("refusal_rate_gain",),
        code=sampling("'I cannot help with that.'"),
    ),
)
HARMLESS = (
    Plant("another name of graph and weights", change=rename),
    Plant(
        "another README and license",
        change=together(write("README.md", "# Ship\n"), write("LICENSE", "MIT, as before.\n")),
    ),
    Plant(
        "other search defaults",
        change=edit(
            "genai_config.json",
            lambda config: config["search"].update(temperature=0.3, top_k=5, top_p=0.5),
        ),
    ),
    Plant(
        "a tokenizer.json in another order, with indents",
        change=edit("tokenizer.json", lambda _: None, indent=4),
    ),
    Plant("noise of a ten-millionth in a layer", change=weights(DOWN, shiver)),
    Plant("a chat template with a comment", change=write("chat_template.jinja", SAME_TEMPLATE)),
    Plant("eight padding rows in the vocabulary", change=pad_vocabulary),
)
