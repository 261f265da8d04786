"""The command line: one function a command, imported only when it is called.

Help needs neither settings nor a home, so that it is there at once.
"""

import contextlib
import sys
from io import TextIOWrapper
from pathlib import Path

from cyclopts import App, CycloptsError

_EXIT_CODES = "Exit codes: 0 success, 1 failure, 2 bad input"


def _version() -> str:
    """Return the version of this checkout; an image has it without an installed distribution."""
    import tomllib

    project = Path(__file__).parents[1] / "pyproject.toml"
    return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])


app = App(
    name="slipway",
    help=(
        "Release small language models: from a source to a promoted version in the MLflow Model "
        "Registry. Serve the promoted version."
    ),
    version=_version,
    help_epilogue=(
        f"{_EXIT_CODES}; `release` also: 3 rejected by a gate, 4 inconclusive. Slipway stores its "
        "files in .slipway of the project (the nearest folder with a slipway.toml) or else of its "
        "checkout, or in the folder that SLIPWAY_HOME names."
    ),
    result_action="return_value",
    help_format="plaintext",
)
# The texts are here, so that --help imports no command.
_COMMANDS = {
    "release": ("commands.release:release", "Release a model end to end."),
    "plan": ("commands.plan:plan", "Show what a release would do; writes nothing."),
    "suite check": (
        "commands.suite:check",
        "Check a file of prompts, and show how surely a release with it finds lost prompts.",
    ),
    "models": ("commands.models:models", "List the models of the catalogue."),
    "variants": (
        "commands.variants:variants",
        "List the ONNX artifacts of a repository, and which one a recipe would select.",
    ),
    "init": ("commands.init:init", "Write a project of your own: settings, catalogue, tests."),
    "add": ("commands.add:add", "Write an entry of the catalogue for a model of the Hub."),
    "status": ("commands.status:status", "Show the champion and the other aliases of each model."),
    "compare": (
        "commands.compare:compare",
        "Compare two versions, or the candidates of the last release.",
    ),
    "card": (
        "commands.card:card",
        "Write the model card of a version from the figures of its release.",
    ),
    "evaluate": (
        "commands.evaluate:evaluate",
        "Run tasks of lm-evaluation-harness on a model's source and its candidates.",
    ),
    "history": (
        "commands.status:history",
        "Show which version was champion when, who or what made it champion, and why.",
    ),
    "rollback": (
        "commands.release:rollback",
        "Restore the previous champion, and quarantine the version that failed.",
    ),
    "promote": (
        "commands.promote:promote",
        "Bring the champion to another environment: another MLflow server.",
    ),
    "bundle": (
        "commands.promote:bundle",
        "Write the champion into one file, for a machine without a network.",
    ),
    "unbundle": (
        "commands.promote:unbundle",
        "Verify a bundle, register its release, test it and promote it.",
    ),
    "approve": (
        "commands.release:approve",
        "Approve or reject the version that waits for approval.",
    ),
    "predict": (
        "commands.predict:predict",
        "Send one prompt to the champion and print its answer; needs no model server.",
    ),
    "chat": ("commands.chat:chat", "Talk to a served model in the terminal."),
    "up": (
        "commands.up:up",
        "Run Prefect, MLflow, Prefect workers, webhook receiver and model server until Ctrl-C.",
    ),
    "doctor": ("commands.status:doctor", "Check this machine and the services that run on it."),
    "du": ("commands.du:du", "Show what the home holds, and what could be freed."),
    "clean": (
        "commands.clean:clean",
        "Delete versions, caches and logs that nothing needs any more; --dry-run lists them.",
    ),
    "serve": (
        "commands.serve:serve",
        "Serve released models with an OpenAI-compatible API on 127.0.0.1 until Ctrl-C.",
    ),
    "beside": (
        "commands.beside:beside",
        "Serve a second version, which the model server's page shows side by side with the first.",
    ),
    "verify": (
        "commands.verify:verify",
        "Check every file of a version, its record and its signature; changes nothing.",
    ),
    "export": (
        "commands.export:export",
        "Write a version as an OCI image, with its report and bill of materials.",
    ),
    "keys init": ("commands.keys:init", "Make the pair of keys that signs releases."),
    "keys new": ("commands.keys:new", "Make a key for the model servers, and print it once."),
    "keys list": ("commands.keys:list_keys", "List the keys of the model servers."),
    "keys revoke": ("commands.keys:revoke", "Revoke a key of the model servers."),
    "users add": (
        "commands.users:add",
        "Make a user of MLflow with a role, and print the password once.",
    ),
    "users list": ("commands.users:list_users", "List the users of MLflow and their roles."),
    "users role": ("commands.users:role", "Give a user of MLflow another role."),
    "users remove": ("commands.users:remove", "Remove a user of MLflow."),
    "redeploy": (
        "commands.redeploy:redeploy",
        "Make the model server serve the champion; no request fails.",
    ),
    "ui": ("commands.up:ui", "Run the servers of the Prefect and MLflow UIs until Ctrl-C."),
}
#: Shown on the command's own page, below its line in the list.
_DETAILS = {
    "release": (
        "Download, quantize or select, log, smoke-test, promote. If the same release exists, "
        "nothing is done."
    ),
    "compare": (
        "Without version numbers, `previous` is compared with the champion. If there are no two "
        "versions to compare, the candidates of the last release are compared."
    ),
    "evaluate": (
        "Needs `pip install 'slipway[evaluation]'`. Builds what the store has not. Scores and "
        "paired differences become metrics of MLflow runs, one for each candidate."
    ),
    "up": "Applies the Prefect deployments, and restarts a service that exits.",
    "redeploy": (
        "The champion is first tested in a server of its own. If it fails, it is quarantined and "
        "the served version stays. With `slipway up`, every change of the champion starts this."
    ),
    "ui": "Prints the addresses and opens no browser. Starts nothing if both servers run already.",
}
_LANDING = (
    "Exit codes: 0 promoted, waiting for approval or there already, 1 failure, 2 bad input, "
    "3 rejected, 4 inconclusive"
)
#: Of the commands whose exit codes say more.
_OWN_EXIT_CODES = {
    "promote": _LANDING,
    "unbundle": _LANDING,
    "release": (
        "Exit codes: 0 promoted, waiting for approval or already released, 1 failure, 2 bad input, "
        "3 rejected by a gate or quarantined, 4 inconclusive"
    ),
    "plan": (
        "Exit codes: 0 it fits, 1 failure, or it needs more disk or memory than is free, 2 bad "
        "input"
    ),
    "suite check": (
        "Exit codes: 0 the suite is large enough, 1 it is too small for its margin, or a failure, "
        "2 bad input"
    ),
    "approve": (
        "Exit codes: 0 success, 1 failure, or with --reject: the version was already approved, "
        "2 bad input, 3 the version was already rejected"
    ),
    "evaluate": f"{_EXIT_CODES}; with --margin also: 3 a loss beyond it, 4 inconclusive",
    "redeploy": f"{_EXIT_CODES}, 3 the champion was quarantined",
    "verify": "Exit codes: 0 all that was checked holds, 1 something does not, 2 bad input",
    "doctor": "Exit codes: 0 no check failed, 1 a check failed, 2 bad input",
}
_GROUPS = {
    "suite": "Check the prompts of a smoke test.",
    "keys": "Keys of the model servers, and the pair of keys that signs releases.",
    "users": "People who sign in to MLflow: readers, releasers, promoters, administrators.",
}
_apps = {"": app} | {
    name: App(name=name, help=text, help_epilogue=f"{_EXIT_CODES}.", version_flags=())
    for name, text in _GROUPS.items()
}
for _name in _GROUPS:
    app.command(_apps[_name])
for _name, (_address, _help) in _COMMANDS.items():
    _apps[_name.rpartition(" ")[0]].command(
        _address,
        name=_name.rpartition(" ")[2],
        help=f"{_help}\n\n{_DETAILS.get(_name, '')}",
        help_epilogue=f"{_OWN_EXIT_CODES.get(_name, _EXIT_CODES)}.",
        version_flags=(),  # some commands have a --version of their own; the others refuse it
    )
app.register_install_completion_command(help="Install completion for bash, zsh or fish.")


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a character that a terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:], claim=True))


def run(arguments: list[str], *, claim: bool = False) -> int:
    """Return the exit code of one call of the command line.

    Args:
        arguments: Those behind the program's name.
        claim: Whether temporary files of this process go into the home.
    """
    if _is_about_itself(arguments):
        with contextlib.suppress(CycloptsError):  # which a call tells in our words
            return int(app(arguments, exit_on_error=False, print_error=False) or 0)
    from commands.call import call

    return call(app, arguments, claim=claim)


def _is_about_itself(arguments: list[str]) -> bool:
    """Return whether help is asked for, or our version; some commands have a ``--version`` too."""
    if arguments[:1] in ([], ["--version"]):
        return True
    return bool({"--help", "-h"} & {*arguments}) and "--" not in arguments
