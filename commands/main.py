"""The command line: one function a command, imported only when it is called."""

import os
import sys
from importlib.metadata import version

from cyclopts import App, CycloptsError

from commands import console
from slipway.errors import SlipwayError
from slipway.settings import Settings, disable_telemetry, sign_in

app = App(
    name="slipway",
    help="Release small language models: from a source to a served, promoted version.",
    version=lambda: version("slipway"),
    help_epilogue=(
        "Exit codes: 0 promoted or already released, 1 unexpected failure, 2 bad input, "
        "3 rejected by a gate, 4 inconclusive. All state is in .slipway, or in SLIPWAY_HOME."
    ),
    result_action="return_value",
)
# The short texts are here, so that --help imports no command.
_COMMANDS = {
    "release": ("commands.release:release", "Release a model end to end."),
    "plan": ("commands.models:plan", "Show what a release would do; writes nothing."),
    "models": ("commands.models:models", "List the models of the catalogue."),
    "variants": (
        "commands.models:variants",
        "List the ONNX artifacts that a repository publishes.",
    ),
    "status": ("commands.status:status", "Show what is released, and the aliases."),
    "compare": (
        "commands.compare:compare",
        "Compare two versions, or the candidates of the last release.",
    ),
    "history": ("commands.status:history", "Show who was champion when, by whom, and why."),
    "rollback": ("commands.release:rollback", "Restore the previous champion."),
    "approve": ("commands.release:approve", "Approve or reject the candidate that waits."),
    "predict": ("commands.status:predict", "Send one prompt to the champion."),
    "up": ("commands.up:up", "Run everything on this machine: servers, worker, webhooks, model."),
    "doctor": ("commands.status:doctor", "Check this machine and the services on it."),
    "serve": ("commands.serve:serve", "Serve a released model as OpenAI's API on loopback."),
    "redeploy": ("commands.redeploy:redeploy", "Serve the champion, without a failed request."),
    "ui": ("commands.up:ui", "Open the Prefect and MLflow UIs on loopback."),
}
for _name, (_address, _help) in _COMMANDS.items():
    app.command(_address, name=_name, help=_help)
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
