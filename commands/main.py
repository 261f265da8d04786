"""The command line: one function a command, imported when it is asked for."""

import os
import sys

from cyclopts import App, CycloptsError

from commands import console
from slipway.errors import SlipwayError
from slipway.settings import Settings, sign_in

app = App(
    name="slipway",
    help="The release line for small language models: from a source to a promoted version.",
    version_flags=[],
    help_epilogue=(
        "Exit codes: 0 promoted or already so, 2 bad input, 3 kept by a gate, 4 inconclusive, "
        "1 anything unexpected. State lives in .slipway, or in SLIPWAY_HOME."
    ),
    result_action="return_value",
)
# The short texts stand here, since a command's own would be imported for them.
_COMMANDS = {
    "release": ("commands.release:release", "Release a model end to end: the main job."),
    "plan": ("commands.models:plan_command", "Say what a release would do; writes nothing."),
    "models": ("commands.models:models", "List the models of the catalogue."),
    "variants": (
        "commands.variants:variants",
        "List the ready ONNX artifacts that a repository publishes.",
    ),
    "status": ("commands.status:status", "Show what is released, and which version serves."),
    "compare": (
        "commands.compare:compare",
        "Show two versions side by side, or the candidates of the last release.",
    ),
    "history": ("commands.approvals:history", "Show who was champion when, by whom, and why."),
    "rollback": ("commands.approvals:rollback", "Let the champion of before serve again."),
    "approve": ("commands.approvals:approve", "Approve or reject a candidate that waits."),
    "predict": ("commands.status:predict", "Ask the version that serves."),
    "up": ("commands.up:up", "Run everything on this machine: servers, worker, webhooks, model."),
    "doctor": ("commands.doctor:doctor", "Check this machine and what runs on it."),
    "serve": ("commands.serve:serve", "Serve a released model as OpenAI's API on loopback."),
    "redeploy": (
        "commands.redeploy:redeploy",
        "Make the champion serve, without a failed request.",
    ),
    "ui": ("commands.up:ui", "Open the Prefect and MLflow UIs on loopback."),
}
for _name, (_address, _help) in _COMMANDS.items():
    app.command(_address, name=_name, help=_help)


def run(arguments: list[str]) -> int:
    """Return the exit code of one call of the command line."""
    try:
        if "SLIPWAY_AUTH" in os.environ:
            sign_in(Settings())
        return int(app(arguments, exit_on_error=False, print_error=False) or 0)
    except CycloptsError as error:
        print(f"slipway: {error}", file=sys.stderr)
        return 2
    except SlipwayError as error:
        console.error_line(error, json="--json" in arguments)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last place that can turn a defect into a line
        told = console.explained(error)
        console.error_line(told, json="--json" in arguments)
        return told.exit_code


def main() -> None:
    """Run the command line."""
    sys.exit(run(sys.argv[1:]))
