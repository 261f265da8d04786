"""The command line: one function a command, imported only when it is called."""

import os
import sys
from importlib.metadata import version

from cyclopts import App, CycloptsError

from commands import console
from slipway.errors import SlipwayError
from slipway.settings import Settings, disable_telemetry, sign_in

_EXIT_CODES = "Exit codes: 0 success, 1 failure, 2 bad input"

app = App(
    name="slipway",
    help=(
        "Release small language models: from a source to a promoted version in the MLflow Model "
        "Registry. Serve the promoted version."
    ),
    version=lambda: version("slipway"),
    help_epilogue=(
        f"{_EXIT_CODES}; `release` also: 3 rejected by a gate, 4 inconclusive. Slipway stores its "
        "files in .slipway in its checkout, or in the folder that SLIPWAY_HOME names."
    ),
    result_action="return_value",
)
# The texts are here, so that --help imports no command.
_COMMANDS = {
    "release": ("commands.release:release", "Release a model end to end."),
    "plan": ("commands.models:plan", "Show what a release would do; writes nothing."),
    "models": ("commands.models:models", "List the models of the catalogue."),
    "variants": (
        "commands.models:variants",
        "List the ONNX artifacts of a repository, and which one a recipe would select.",
    ),
    "status": ("commands.status:status", "Show the champion and the other aliases of each model."),
    "compare": (
        "commands.compare:compare",
        "Compare two versions, or the candidates of the last release.",
    ),
    "history": (
        "commands.status:history",
        "Show which version was champion when, who or what made it champion, and why.",
    ),
    "rollback": (
        "commands.release:rollback",
        "Restore the previous champion, and quarantine the version that failed.",
    ),
    "approve": (
        "commands.release:approve",
        "Approve or reject the version that waits for approval.",
    ),
    "predict": (
        "commands.status:predict",
        "Send one prompt to the champion and print its answer; needs no model server.",
    ),
    "up": (
        "commands.up:up",
        "Run Prefect, MLflow, Prefect worker, webhook receiver and model server until Ctrl-C.",
    ),
    "doctor": ("commands.status:doctor", "Check this machine and the services that run on it."),
    "serve": (
        "commands.serve:serve",
        "Serve a released model with an OpenAI-compatible API on 127.0.0.1 until Ctrl-C.",
    ),
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
    "up": "Applies the Prefect deployments, and restarts a service that exits.",
    "redeploy": (
        "The champion is first tested in a server of its own. If it fails, it is quarantined and "
        "the served version stays. With `slipway up`, every change of the champion starts this."
    ),
    "ui": "Prints the addresses and opens no browser. Starts nothing if both servers run already.",
}
#: Of the commands whose exit codes say more.
_OWN_EXIT_CODES = {
    "release": (
        "Exit codes: 0 promoted, waiting for approval or already released, 1 failure, 2 bad input, "
        "3 rejected by a gate or quarantined, 4 inconclusive"
    ),
    "approve": f"{_EXIT_CODES}, 3 the version was already rejected",
    "redeploy": f"{_EXIT_CODES}, 3 the champion was quarantined",
    "doctor": "Exit codes: 0 no check failed, 1 a check failed, 2 bad input",
}
for _name, (_address, _help) in _COMMANDS.items():
    app.command(
        _address,
        name=_name,
        help=f"{_help}\n\n{_DETAILS.get(_name, '')}",
        help_epilogue=f"{_OWN_EXIT_CODES.get(_name, _EXIT_CODES)}.",
    )
app.register_install_completion_command(help="Install completion for bash, zsh or fish.")


def run(arguments: list[str]) -> int:
    """Return the exit code of one call of the command line."""
    disable_telemetry()
    try:
        if "SLIPWAY_AUTH" in os.environ:
            sign_in(Settings())
        return int(app(arguments, exit_on_error=False, print_error=False) or 0)
    except CycloptsError as error:
        print(f"slipway: {error}", file=sys.stderr)
        return 2
    except SlipwayError as error:
        failure = error
    except Exception as error:  # noqa: BLE001 - the last place that can turn a defect into a line
        failure = console.translated(error)
    console.show_error(failure, json="--json" in arguments)
    return failure.exit_code


def main() -> None:
    """Run the command line."""
    sys.exit(run(sys.argv[1:]))
