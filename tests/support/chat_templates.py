"""Forty chat templates that use what public ones use, construct by construct.

The markup is invented. Some decline conversations, and some fail for odd ones, as public ones do.
"""

#: The rest of a template that is about something else.
_TURN = "{{ '<' + message['role'] + '>' + (message['content'] | string) + '</>' }}"
_EACH = "{% for message in messages %}" + _TURN + "{% endfor %}"
_ASKS = "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"

TEMPLATES: dict[str, str] = {
    "blocks on lines of their own": """\
{% for message in messages %}
    {% if message['role'] == 'user' %}
<user>
{{ message['content'] }}
    {% elif message['role'] == 'system' %}
<system>{{ message['content'] }}
    {% else %}
<answer>{{ message['content'] }}{{ eos_token }}
    {% endif %}
{% endfor %}
{% if add_generation_prompt %}
<answer>
{% endif %}
""",
    "white space control": """\
{%- for message in messages -%}
    {{- '<' ~ message.role ~ '>' -}}
    {{ message.content -}}
    {%+ if loop.last %} end {%- endif %}
{%- endfor +%}
  tail {#- a comment -#}
  {{ bos_token }}
""",
    "line breaks after variables": (
        "{% for message in messages %}{{ message.role }}\n{{ message.content }}\n\n{% endfor %}\n\n"
    ),
    "a text in a text": """\
{%- for message in messages -%}
{%- set said = message['content'] -%}
{%- if message['role'] == 'assistant' and '</think>' in said -%}
{%- set said = said.split('</think>')[-1].lstrip('\\n') -%}
{%- elif 'tide' not in said and said -%}
{%- set said = said + '!' -%}
{%- endif -%}
{{- '<' + message['role'] + '>' + said -}}
{%- endfor -%}
""",
    "a namespace": """\
{%- set ns = namespace(system='', turns=0, last=messages | length - 1, self='me') -%}
{%- for message in messages -%}
{%- if message.role == 'system' -%}{%- set ns.system = ns.system ~ message.content -%}
{%- else -%}{%- set ns.turns = ns.turns + 1 -%}{%- endif -%}
{%- endfor -%}
{{- ns.system ~ '|' ~ ns.turns ~ '|' ~ ns.last ~ ns.self -}}
"""
    + _EACH,
    "a backward search": """\
{%- set ns = namespace(found=false, index=-1) -%}
{%- for message in messages[::-1] -%}
{%- set index = (messages | length - 1) - loop.index0 -%}
{%- if not ns.found and message.role == 'user'
       and not (message.content.startswith('<tool>') and message.content.endswith('</tool>')) -%}
{%- set ns.found = true -%}{%- set ns.index = index -%}
{%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
{%- if loop.index0 > ns.index -%}{{ '*' }}{%- endif -%}{{ message.content | trim }}
{% endfor -%}
""",
    "break and continue": """\
{%- for message in messages -%}
{%- if message.role == 'system' -%}{%- continue -%}{%- endif -%}
{%- if loop.index > 7 -%}{{ '...' }}{%- break -%}{%- endif -%}
{{ message.content }}
{%- endfor -%}
""",
    "a strict order": """\
{%- if messages[0]['role'] == 'system' -%}
{{- raise_exception('There is no system role') -}}
{%- endif -%}
{%- for message in messages -%}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
{{- raise_exception('Roles must alternate user/assistant/user/assistant/...') -}}
{%- endif -%}
{%- if message['role'] == 'user' -%}{{ '[Q] ' + message['content'].strip() + ' [/Q]' }}
{%- else -%}{{ ' ' + message['content'].strip() + ' ' + eos_token }}
{%- endif -%}
{%- endfor -%}
""",
    "a system message within the question": """\
{%- if messages[0]['role'] == 'system' -%}
{%- set system, rest = messages[0]['content'] | trim + '\\n\\n', messages[1:] -%}
{%- else -%}{%- set system, rest = '', messages -%}{%- endif -%}
{{- bos_token -}}
{%- for message in rest -%}
{%- set said = system + message['content'] if loop.first else message['content'] -%}
{{ '<start>' + ('model' if message['role'] == 'assistant' else message['role']) + '\\n' + said }}
{%- endfor -%}
""",
    "a default system message": """\
{%- if messages[0].role != 'system' -%}{{ '<system>You are Heron, a ferry.</>' }}{%- endif -%}
"""
    + _EACH
    + _ASKS,
    "macros": """\
{%- macro turn(who, said='', end=true) -%}
<{{ who }}>{{ said }}{% if end %}</>{% endif -%}
{%- endmacro -%}
{%- macro depth(n) -%}{% if n > 0 %}({{ depth(n - 1) }}){% endif %}{%- endmacro -%}
{%- for message in messages -%}{{ turn(message.role, said=message.content) }}{%- endfor -%}
{{- turn('assistant', end=false) -}}{{ depth(3) }}{{ turn.name }}{{ turn.arguments | join(',') }}
""",
    "a call block": """\
{%- macro box(title) -%}[{{ title }}: {{ caller(title | upper) }}]{%- endmacro -%}
{%- for message in messages -%}
{%- call(shout) box(message.role) -%}{{ shout }} {{ message.content }}{%- endcall -%}
{%- endfor -%}
""",
    "a generation block": """\
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
<assistant>{% generation %}{% set inner = 1 %}{{ message.content }}{{ eos_token }}
{% endgeneration %}
{%- else -%}<{{ message.role }}>{{ message.content }}{%- endif -%}
{%- endfor -%}{{ inner is defined }}
""",
    "no tools": """\
{%- if tools is not none and tools -%}{{ tools | tojson(indent=4) }}{%- endif -%}
{%- if not tools is defined -%}{%- set tools = none -%}{%- endif -%}
{%- if documents -%}{{ documents[0].title }}{%- endif -%}
{%- if builtin_tools is defined or xml_tools is undefined -%}{{ 'plain' }}{%- endif -%}
"""
    + _EACH,
    "tools that are called": """\
{%- for message in messages -%}
{%- if message.tool_calls is defined and message.tool_calls -%}
{%- for call in message.tool_calls -%}
{%- set call = call.function if call.function is defined else call -%}
{{ '<call>' }}{{ {'name': call.name, 'arguments': call.arguments} | tojson }}{{ '</call>' }}
{%- endfor -%}
{%- elif message.role == 'tool' -%}
{%- if loop.first or messages[loop.index0 - 1].role != 'tool' -%}{{ '<results>' }}{%- endif -%}
{{ message.content }}
{%- else -%}"""
    + _TURN
    + """{%- endif -%}
{%- endfor -%}
""",
    "parts of a content": """\
{%- for message in messages -%}
<{{ message.role }}>
{%- if message.content is string -%}{{ message.content }}
{%- elif message.content is iterable and message.content is not mapping -%}
{%- for part in message.content -%}
{%- if part.type == 'text' or 'text' in part -%}{{ part['text'] | trim }}
{%- elif part.type in ['image', 'image_url'] -%}{{ '<image>' }}{%- endif -%}
{%- endfor -%}
{%- else -%}{{ message.content | tojson }}{%- endif -%}
{%- endfor -%}
""",
    "filtered messages": """\
{%- set system = messages | selectattr('role', 'equalto', 'system') | map(attribute='content') -%}
{%- set others = messages | rejectattr('role', 'eq', 'system') | list -%}
{{- system | join('\\n---\\n') -}}
{%- for message in others -%}{{ '\\n' ~ message.role ~ ': ' ~ message.content }}{%- endfor -%}
{{- messages | map(attribute='role') | unique | list | join(',') -}}
""",
    "a loop with a condition": """\
{%- for message in messages if message.role != 'system' and message.content -%}
{{ loop.index }}/{{ loop.length }}:{{ message.content }};
{%- else -%}nobody spoke{%- endfor -%}
""",
    "a loop's neighbours": """\
{%- for message in messages -%}
{%- if loop.previtem is defined and loop.previtem.role == message.role -%}{{ '+' }}{%- endif -%}
{%- if loop.nextitem is not defined -%}{{ '$' }}{%- endif -%}
{%- if loop.changed(message.role) -%}{{ '<' + message.role + '>' }}{%- endif -%}
{{ loop.cycle('a', 'b', 'c') }}{{ loop.revindex }}{{ loop.depth }}{{ loop.first }}{{ loop.last }}
{%- endfor -%}
""",
    "a loop in itself": """\
{%- for item in [1, [2, [3, messages[0].role]], 4] recursive -%}
{%- if item is sequence and item is not string -%}({{ loop(item) }}){%- else -%}{{ item }}
{%- endif -%}{%- endfor -%}
"""
    + _EACH,
    "dates": """\
{{- 'Today: ' + strftime_now('%d %b %Y') -}}
{%- if date_string is not defined -%}{%- set date_string = '26 Jul 2024' -%}{%- endif -%}
{%- if strftime_now is defined -%}{%- set year = strftime_now("%Y") | int -%}{{ year // 100 }}
{%- endif -%}
"""
    + _EACH,
    "JSON": """\
{%- for message in messages -%}
{{ message.content | tojson }}{{ message | tojson(indent=2) }}
{{ message | tojson(separators=(',', ':'), sort_keys=true) }}
{{ message.content | tojson(ensure_ascii=true) }}
{%- endfor -%}
""",
    "methods of texts": """\
{%- for message in messages -%}
{%- set said = message.content -%}
{{ said.strip() }}|{{ said.rstrip('!\\n') }}|{{ said.lstrip() }}|{{ said.upper() }}
{{ said.title() }}|{{ said.zfill(9) }}
{{ said.replace('\\n', ' ') }}|{{ said.split() | length }}|{{ said.splitlines() | join('~') }}
{{ said.find('tide') }}|{{ said.count('e') }}|{{ said.removeprefix('Hello') }}|{{ said.isdigit() }}
{{ said.partition('think')[0] }}|{{ said.rsplit(' ', 1)[-1] }}|{{ said.center(9, '.') }}
{%- endfor -%}
""",
    "filters of texts": """\
{%- for message in messages -%}
{{ message.content | trim | capitalize }}|{{ message.content | replace('e', '3', 2) | lower }}
{{ message.content | wordcount }}|{{ message.content | truncate(20, true) }}
{{ message.content | indent(4, first=true) }}|{{ message.content | title | escape }}
{{ message.content | wordwrap(30) }}|{{ message.content | urlencode }}|{{ '%s!' | format(1) }}
{{ message.content | string | striptags }}|{{ message.content | forceescape }}
{{ 'a' | center(5) }}
{%- endfor -%}
""",
    "filters of lists": """\
{%- set roles = messages | map(attribute='role') | list -%}
{{ roles | first }}{{ roles | last }}{{ roles | sort | join }}{{ roles | reverse | list }}
{{ [3, 1, 2] | sum }}{{ [3, 1, 2] | max }}{{ [3, 1, 2] | min }}
{{ [1.7, 2.2] | map('round') | list }}
{%- for batch in messages | batch(2, 'none') -%}[{{ batch | length }}]{%- endfor -%}
{%- for role, group in messages | groupby('role') -%}{{ role }}{{ group | length }}{%- endfor -%}
{%- for slice in roles | slice(2) -%}{{ slice }}{%- endfor -%}
{{ [1, 2, 3, 4] | select('even') | list }}{{ [0, 1] | reject('odd') | list }}
""",
    "dicts": """\
{%- set names = {'user': 'Human', 'assistant': 'Heron'} -%}
{%- set more = dict(names, system='Rule') -%}
{%- for message in messages -%}
{{ more.get(message.role, '?') }}
{{ names[message.role] | default('nobody') }}: {{ message.content }}
{%- for key, value in message.items() if key != 'content' -%}{{ key }}={{ value }}{%- endfor -%}
{%- endfor -%}
{{- names | dictsort -}}{{ names.keys() | list }}{{ dict.fromkeys(['a', 'b'], 0) }}
{%- for key, value in names | items -%}{{ key ~ value }}{%- endfor -%}
""",
    "slices": """\
{%- set rest = messages[1:] -%}{{ rest | length }}{{ messages[-1].content[:10] }}
{{- messages[-2:] | map(attribute='role') | join('>') -}}{{ messages[::2] | length }}
{{- messages[0].content[::-1] -}}{{ messages[0]['content'][2:-2] }}{{ 'abc'[-1] }}
{{ (1, 2, 3)[1:] }}
""",
    "tests": """\
{{ bos_token is defined }}{{ nothing is defined }}{{ none is none }}{{ 1 is number }}
{{ '' is string }}
{{ {} is mapping }}{{ [] is sequence }}{{ true is boolean }}{{ 4 is divisibleby 2 }}{{ 1 is odd }}
{{ 'a' is in 'abc' }}{{ 2 is gt 1 }}{{ 2 is eq 2.0 }}{{ 'A' is upper }}{{ range is callable }}
{{ 3 is sameas 3 }}{{ 2.0 is float }}{{ 2 is integer }}{{ 'trim' is filter }}{{ 'odd' is test }}
"""
    + _EACH,
    "undefined names": """\
{{ missing }}{{ missing | default('none') }}{{ missing is undefined }}{{ messages[0].missing }}
{%- if missing or messages[0]['missing'] -%}never{%- endif -%}{{ pad_token }}{{ unk_token }}
{%- for item in missing -%}never{%- endfor -%}{{ messages[0].get('missing', 'absent') }}
"""
    + _EACH,
    "an undefined name that is used": _EACH + "{{ bos_token + missing }}",
    "sums and comparisons": """\
{{ 1 + 2 * 3 ** 2 // 4 % 5 - -1 }}{{ 7 / 2 }}{{ 1 < 2 <= 2 != 3 }}{{ not true and false or 'x' }}
{{ 'a' ~ 1 ~ none ~ 2.50 }}{{ 'ab' * 2 }}{{ [1] + [2] }}{{ 'b' > 'a' }}{{ 1e3 | int }}
{{ 'yes' if messages else 'no' }}{{ 'hidden' if not messages }}{{ (messages | length) is odd }}
"""
    + _EACH,
    "a block that is set": """\
{%- set header -%}
  {%- for message in messages if message.role == 'system' -%}
{{ message.content }}
  {%- endfor -%}
{%- endset -%}
{%- set shout | upper | trim %} {{ header }} {% endset -%}
{{ header | length }}{{ shout }}
"""
    + _EACH,
    "a filtered block": """\
{%- filter upper | replace('A', '4') -%}
{%- for message in messages -%}{{ message.role }}: {{ message.content }}{%- endfor -%}
{%- endfilter -%}
""",
    "scopes": """\
{%- set x = 1 -%}
{%- for message in messages -%}{%- set x = x + 1 -%}{{ x }}{%- endfor -%}{{ x }}
{%- with y = 5, z = x -%}{{ y + z }}{%- endwith -%}{{ y is defined }}
{%- if true -%}{%- set x = 'changed' -%}{%- endif -%}{{ x }}
""",
    "raw text and comments": """\
{# a comment over
   two lines #}{% raw %}{{ not.a.variable }}{% not a tag %}{% endraw %}
{##}  {{ '{{' }}{{ "{%" }} # not a comment
"""
    + _EACH,
    "escapes and scripts": r"""
{{- '\n\t\\ \'quoted\' \u00e9\x41' -}}{{ "Grüße 你好 🚢" }}{{ '▁' }}<▁begin▁of▁text▁>
"""
    + _EACH,
    "ranges and lists": """\
{%- for n in range(3) -%}{{ n }}{%- endfor -%}{%- for n in range(9, 0, -4) -%}{{ n }}{%- endfor -%}
{%- set ns = namespace(turns=[]) -%}
{%- for message in messages -%}{%- set ns.turns = ns.turns + [message.content] -%}{%- endfor -%}
{{- ns.turns | join(eos_token) -}}{%- for a, b in [(1, 2), (3, 4)] -%}{{ a }}-{{ b }};{%- endfor -%}
{%- for n in range(2) -%}{%- for m in range(2) -%}{{ n }}{{ m }}{%- endfor -%}{%- endfor -%}
""",
    "joiners and cyclers": """\
{%- set comma, line = joiner(', '), cycler('odd', 'even') -%}
{%- for message in messages -%}{{ comma() }}{{ line.next() }} {{ message.role }}{%- endfor -%}
""",
    "special tokens": """\
{{- bos_token ~ eos_token ~ pad_token ~ unk_token ~ image_token ~ boi_token -}}
"""
    + _EACH
    + _ASKS,
    "options of a caller": """\
{%- if enable_thinking is defined and enable_thinking is false -%}{{ '<think></think>' }}
{%- elif not thinking | default(false) -%}{{ '<fast>' }}{%- endif -%}
{%- set mode = 'on' if reasoning_effort is defined else 'off' -%}{{ mode }}
{%- if add_generation_prompt is defined and not add_generation_prompt -%}never{%- endif -%}
"""
    + _EACH
    + _ASKS,
}
