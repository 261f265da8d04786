"""The checks of a source's files, before anything loads them.

Comes in: a folder of untrusted files. Goes out: facts about the model, or the first rule that a
file breaks. File formats are an allow-list, a file has to be what its name says, and nothing that a
source brings is executed: no pickle, no Python, no ``auto_map``, no operator library. The one
program that a model needs, its chat template, is tried in a sandbox within a child process.
``folders`` applies all checks of the other modules.
"""
