"""``slipway chat``: a conversation with a served model, in the terminal."""

import contextlib
import sys

from commands import console
from commands.options import Count
from slipway.errors import SlipwayError
from slipway.serving.api_keys import own_key
from slipway.serving.chat_client import AnswerFigures, ChatClient
from slipway.settings import Settings
from slipway.validation.texts import require_text

_HELP = "/new begins a new conversation, /version says what answers, Ctrl-D leaves"


def chat(
    model: str, *, url: str | None = None, system: str = "", max_tokens: Count | None = None
) -> int:
    """Talk to a served model; Ctrl-C ends an answer, Ctrl-D the chat.

    A key is sent if the environment variable SLIPWAY_SERVE_KEY has one; a server of this home needs
    none.

    Args:
        model: Name of a served model.
        url: Address of the model server. Default: the server that `slipway serve` runs in this
            home, or else SLIPWAY_SERVING_URL.
        system: System prompt.
        max_tokens: Most tokens of an answer. Default: the server's.
    """
    settings = Settings()
    here = None if url else _served_here(settings, model)
    key = settings.serve_key.get_secret_value() if settings.serve_key else ""
    if here and not key:
        key = own_key(settings.home)
    address = url or here or settings.serving_url
    client = ChatClient(address, model, key, settings.serving_request_seconds)
    console.note(f"{client.served()} at {client.url}; {_HELP}")
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - with it, input() edits lines and remembers earlier ones
    Conversation(client, system, max_tokens).hold()
    return 0


class Conversation:
    """What was said so far, and how it goes on."""

    def __init__(self, client: ChatClient, system: str, max_tokens: int | None) -> None:
        self._client = client
        self._system = [{"role": "system", "content": system}] if system else []
        self._max_tokens = max_tokens
        self._turns: list[dict[str, str]] = []

    def hold(self) -> None:
        """Answer line by line until the input ends.

        Raises:
            SlipwayError: If a line cannot be answered, and nobody sits there to read that.
        """
        while (line := _read_line()) is not None:
            try:
                self._react(line)
            except KeyboardInterrupt:
                continue  # a second Ctrl-C, while the first was obeyed
            except SlipwayError as error:
                if not sys.stdin.isatty():
                    raise
                console.show_error(error, json=False)

    def _react(self, line: str) -> None:
        match line.strip():
            case "":
                pass
            case "/new":
                self._turns.clear()
                console.note("a new conversation")
            case "/version":
                served = self._client.served()
                console.note(
                    f"{served}, digest {served.digest or 'unknown'}, at {self._client.url}"
                )
            case command if command.startswith("/"):
                console.note(f"there is no {command.split()[0]}; {_HELP}")
            case text:
                self._answer(text)

    def _answer(self, text: str) -> None:
        """Print the answer as it comes; what was said until Ctrl-C stays in the conversation."""
        require_text("the message", text)
        turn, pieces = {"role": "user", "content": text}, list[str]()
        note = "ended by Ctrl-C"
        try:
            for event in self._client.answer([*self._system, *self._turns, turn], self._max_tokens):
                if isinstance(event, AnswerFigures):
                    note = str(event)
                else:
                    pieces.append(event)
                    console.write(event)
        except KeyboardInterrupt:
            pass
        finally:
            if pieces:
                console.say()
        if pieces:
            self._turns += [turn, {"role": "assistant", "content": "".join(pieces)}]
        console.note(note)


def _read_line() -> str | None:
    """Return the next line; None at the end of the input. Ctrl-C clears a line."""
    try:
        return input("> " if sys.stdin.isatty() else "")
    except EOFError:
        if sys.stdin.isatty():
            console.say()
        return None
    except KeyboardInterrupt:
        console.say()
        console.note("Ctrl-D leaves the chat")
        return ""


def _served_here(settings: Settings, model: str) -> str | None:
    """Return where this home's server of the model listens; None if none is running."""
    folder = settings.server_folders / model
    if not (folder / "server.json").is_file():
        return None  # and nothing is imported that a server needs
    from slipway.redeploy import model_server

    server = model_server.find(folder)
    return server.url if server else None
