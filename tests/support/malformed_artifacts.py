"""Malformed artifacts: what is wrong, in which file, and the rule that it breaks."""

from tests.support import tiny_artifact
from tests.support.malformed import (
    TEMPLATE,
    Case,
    config,
    cut,
    data,
    file,
    graph,
    hidden_node,
    merged,
    node,
    respelled,
    template,
    varint,
    without,
)
from tests.support.malformed_files import PICKLE, TOKENIZER, archive

CONFIG, GRAPH, JINJA = "genai_config.json", "model.onnx", "chat_template.jinja"
SESSION = "model/decoder/session_options"
PROVIDERS = f"{SESSION}/provider_options"

AT_SIX = "{{% if messages|length > 9 %}}{}{{% endif %}}"

GRAPHS: dict[str, Case] = {
    "no graph at all": (file(GRAPH, PICKLE), GRAPH, "a pickle"),
    "an empty graph": (file(GRAPH, b""), GRAPH, "does not begin like an ONNX graph"),
    "a graph cut short": (cut(GRAPH, 100), GRAPH, "not an ONNX graph, or cut short"),
    "noise": (file(GRAPH, b"\x08\x0a" + b"\xff" * 99), GRAPH, "not an ONNX graph"),
    "no node": (graph(lambda model: model.graph.ClearField("node")), GRAPH, "without a node"),
    "many nodes": (merged(b"\x0a\x00" * 100_001), GRAPH, "more than 100,000 nodes"),
    "many nodes behind a group": (
        merged(b"\xa3\x06\xa4\x06" + b"\x0a\x00" * 100_001),
        GRAPH,
        "not an ONNX graph",
    ),
    "many inputs of a node": (
        merged(b"\x0a" + varint(4_000_002) + b"\x0a\x00" * 2_000_001),
        GRAPH,
        "more than 2,000,000 fields",
    ),
    "data above": (data("../secret.data"), GRAPH, "no .data file of its folder"),
    "data far above": (data("a/../../secret.data"), GRAPH, "no .data file of its folder"),
    "data at the root": (data("/etc/shadow.data"), GRAPH, "no .data file of its folder"),
    "data of Windows": (data("C:\\secret.data"), GRAPH, "no .data file of its folder"),
    "data of another kind": (data("tokenizer.json"), GRAPH, "no .data file of its folder"),
    "data of the runtime": (data("*/_ORT_MEM_ADDR_/*"), GRAPH, "no .data file of its folder"),
    "data without a place": (data(""), GRAPH, "no .data file of its folder"),
    "data that are missing": (data("other.data"), GRAPH, "'other.data' are missing"),
    "data behind the end": (data("model.onnx.data", 1), GRAPH, "ends at byte 513"),
    "data far behind": (data("model.onnx.data", 1 << 50), GRAPH, "which has 512"),
    "a negative place": (data("model.onnx.data", -8), GRAPH, "'-8' is not a position"),
    "an endless length": (data("model.onnx.data", 0, "9" * 30), GRAPH, "is not a position"),
    "a fraction": (data("model.onnx.data", 0, "1e2"), GRAPH, "'1e2' is not a position"),
    "data of a constant": (
        graph(
            lambda model: tiny_artifact.refer(
                model.graph.node[0].attribute.add(name="value", type=4).t, "../up.data", 0, 1
            )
        ),
        GRAPH,
        "no .data file of its folder",
    ),
    "data that nobody names": (file("payload.data", archive()[4:]), "payload.data", "no graph"),
    "a zip as data": (file("model.onnx.data", archive()), "model.onnx.data", "a zip archive"),
    "foreign operators": (node("Evil", "ai.onnx.contrib"), GRAPH, "'ai.onnx.contrib' are not"),
    "PyTorch's operators": (node("Evil", "org.pytorch.aten"), GRAPH, "'org.pytorch.aten' are"),
    "an operator in Python": (node("PyOp", "com.microsoft"), GRAPH, "PyOp runs foreign code"),
    "a compiled program": (node("EPContext", "com.microsoft"), GRAPH, "EPContext runs foreign"),
    "an operator within": (hidden_node("PythonOp", "com.microsoft"), GRAPH, "PythonOp runs"),
    "a domain within": (hidden_node("Evil", "evil"), GRAPH, "operators of 'evil'"),
    "an imported domain": (
        graph(lambda model: model.opset_import.add(domain="evil", version=1)),
        GRAPH,
        "operators of 'evil'",
    ),
    "a function": (
        graph(lambda model: model.functions.add(name="f").node.add(op_type="f", domain="evil")),
        GRAPH,
        "operators of 'evil'",
    ),
}
CONFIGS: dict[str, Case] = {
    "no configuration": (without(CONFIG), CONFIG, "it is missing"),
    "a list": (file(CONFIG, "[]"), CONFIG, "not a JSON object"),
    "nothing": (file(CONFIG, "{}"), CONFIG, "'model' is a required property"),
    "large": (file(CONFIG, "{" + " " * 600_000 + "}"), CONFIG, "0.5 MB are the limit"),
    "many faults": (file(CONFIG, str(list(range(50_000)))), CONFIG, "not a JSON object"),
    "a graph above": (config("model/decoder/filename", "../model.onnx"), CONFIG, "does not match"),
    "a graph below": (config("model/decoder/filename", "x/model.onnx"), CONFIG, "does not match"),
    "a graph at the root": (config("model/decoder/filename", "/model.onnx"), CONFIG, "not match"),
    "a graph of Windows": (config("model/decoder/filename", "x\\m.onnx"), CONFIG, "not match"),
    "dots in a graph": (config("model/decoder/filename", "a..onnx"), CONFIG, "filename"),
    "a line break": (config("model/decoder/filename", "model.onnx\n"), CONFIG, "does not match"),
    "a missing graph": (config("model/decoder/filename", "m.onnx"), CONFIG, "'m.onnx', which is"),
    "another kind of graph": (config("model/decoder/filename", "a.so"), CONFIG, "does not match"),
    "two graphs": (respelled('"filename"', '"filename": "a", "filename"'), CONFIG, "occurs twice"),
    "a longer answer than fits": (config("search/max_length", 513), CONFIG, "max_length is 513"),
    "an endless answer": (config("search/max_length", 1_000_000_000), CONFIG, "max_length"),
    "an endless context": (config("model/context_length", 10_000_001), CONFIG, "context_length"),
    "a negative context": (config("model/context_length", -1), CONFIG, "less than the minimum"),
    "a context of letters": (
        config("model/context_length", "512"),
        CONFIG,
        "not of type 'integer'",
    ),
    "an infinite number": (respelled("512", "1e999"), CONFIG, "context_length"),
    "negative layers": (config("model/decoder/num_hidden_layers", -2), CONFIG, "num_hidden_layers"),
    "a null": (config("model/pad_token_id", None), CONFIG, "not of type 'integer'"),
    "an unknown model": (config("model/type", "evil"), CONFIG, "model.type"),
    "a folder of tokenizers": (config("model/tokenizer_dir", "/var"), CONFIG, "tokenizer_dir"),
    "an unknown provider": (config(PROVIDERS, [{"evil": {}}]), CONFIG, "'evil' was unexpected"),
    "a provider with a library": (
        config(PROVIDERS, [{"QNN": {"backend_path": "evil.so"}}]),
        CONFIG,
        "'QNN' was unexpected",
    ),
    "a path for a provider": (
        config(PROVIDERS, [{"cuda": {"gpu_mem_limit": "/var/x"}}]),
        CONFIG,
        "does not match",
    ),
    "a cache to write": (
        config(f"{SESSION}/ep.context_file_path", "/var/x"),
        CONFIG,
        "'ep.context_file_path' was unexpected",
    ),
    "a folder of weights": (
        config(f"{SESSION}/session.model_external_initializers_file_folder_path", "/var"),
        CONFIG,
        "was unexpected",
    ),
    "a path as a label": (config(f"{SESSION}/log_id", "../../log"), CONFIG, "log_id"),
    "an adapter": (
        config("model/vision", {"filename": "model.onnx", "adapter_filename": "a.onnx_adapter"}),
        CONFIG,
        "'adapter_filename' was unexpected",
    ),
}
TEMPLATES: dict[str, Case] = {
    "an error in it": (template("{% if %}"), JINJA, "TemplateSyntaxError"),
    "an unknown value": (template("{{ nobody.knows.this }}"), JINJA, "UndefinedError"),
    "it always declines": (template("{{ raise_exception('no') }}"), JINJA, "fails: TemplateError"),
    "another file": (template("{% include '/etc/passwd' %}"), JINJA, "its chat template fails"),
    "it forgets the user": (template("Hello."), JINJA, "leaves out the user's message"),
    "a loop": (
        template("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"),
        JINJA,
        "does not end within 3 s",
    ),
    "a text without end": (
        template("{% set x = namespace(t='a' * 9999) %}{{ (x.t * 999999) | length }}"),
        JINJA,
        "MemoryError",
    ),
    "a range without end": (template("{{ range(999999999) | list }}"), JINJA, "OverflowError"),
    "a loop at the sixth turn": (
        template(
            TEMPLATE
            + AT_SIX.format(
                "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
            )
        ),
        JINJA,
        "does not end within 3 s",
    ),
    "a long text squared": (
        template(
            TEMPLATE + "{{ (messages[0]['content'] * messages[0]['content']|length)|length }}"
        ),
        JINJA,
        "MemoryError",
    ),
    "an error at the sixth turn": (
        template(TEMPLATE + AT_SIX.format("{{ 1 // 0 }}")),
        JINJA,
        "fails for six turns: ZeroDivisionError",
    ),
    "an error without a text": (
        template(TEMPLATE + "{{ 1 // messages[0]['content']|length }}"),
        JINJA,
        "fails for an empty message: ZeroDivisionError",
    ),
    "a class": (template("{{ ''.__class__.__mro__ }}"), JINJA, "Python's '__class__'"),
    "globals": (template("{{ cycler['__init__'] }}"), JINJA, "Python's '__init__'"),
    "an inner name in disguise": (
        template(r"{{ (''|attr('\x5f\x5fclass\x5f\x5f')).mro() }}"),
        JINJA,
        "SecurityError",
    ),
    "an escape by format": (
        template("{{ '{0._' '_class_' '_.mro}'.format(lipsum) }}"),
        JINJA,
        "SecurityError",
    ),
    "a change of the conversation": (
        template("{{ messages.append(1) }}"),
        JINJA,
        "SecurityError",
    ),
    "one in the tokenizer": (
        file(TOKENIZER, '{"chat_template": "{% if %}"}'),
        TOKENIZER,
        "TemplateSyntaxError",
    ),
    "one of several": (
        file(TOKENIZER, '{"chat_template": [{"name": "default", "template": "{{"}]}'),
        TOKENIZER,
        "TemplateSyntaxError",
    ),
    "a number": (file(TOKENIZER, '{"chat_template": 7}'), TOKENIZER, "neither a text nor"),
    "names without texts": (file(TOKENIZER, '{"chat_template": [{}]}'), TOKENIZER, "neither a"),
}
