"""One call of a command: where it works, its exit code, and a line for each error."""

import contextlib

from cyclopts import App, CycloptsError, UnusedCliTokensError

from commands import console, home, interrupt, project
from slipway.errors import CommandLineInvalid, SlipwayError
from slipway.libraries import disable_telemetry, reach_loopback_directly, sign_in
from slipway.settings import Settings
from slipway.system import server_note, temporary
from slipway.system.secret_files import keep_private
from slipway.validation.texts import require_text


def call(app: App, arguments: list[str], *, claim: bool) -> int:
    """Return the exit code of one call.

    Args:
        app: The commands.
        arguments: Those behind the program's name.
        claim: Whether temporary files of this process go into the home.
    """
    disable_telemetry()
    reach_loopback_directly()
    if claim:
        with contextlib.suppress(SlipwayError):  # the call itself reports a bad setting
            project.use()
            temporary.claim(Settings().home)
    with console.alone_on_stdout() if "--json" in arguments else contextlib.nullcontext():
        return _exit_code(app, arguments)


def _exit_code(app: App, arguments: list[str]) -> int:
    try:
        for number, argument in enumerate(arguments, 1):
            require_text(f"argument {number}", argument)
        project.use()
        settings = Settings()
        keep_private(settings.home)
        home.require_folder(settings)
        server_note.use(settings)
        sign_in(Settings())
        return int(app(arguments, exit_on_error=False, print_error=False) or 0)
    except KeyboardInterrupt:
        console.say(interrupt.TEXT, error=True)
        return interrupt.EXIT_CODE
    except CycloptsError as error:
        failure = _misunderstood(error)
    except SlipwayError as error:
        failure = error
    except Exception as error:  # noqa: BLE001 - the last place that can turn a defect into a line
        failure = console.translated(error)
    console.show_error(failure, json="--json" in arguments)
    return failure.exit_code


def _misunderstood(error: CycloptsError) -> SlipwayError:
    """Return our error for one of the command line: on one line, with what to do."""
    command = " ".join(error.command_chain or ())
    reason = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, UnusedCliTokensError):
        words = " ".join(error.unused_tokens or ())
        reason = f"too many arguments: {words}; put a text of several words in quotes"
    return CommandLineInvalid(reason, f"{command} " if command else "")
