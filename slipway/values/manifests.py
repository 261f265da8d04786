"""What a release was made of, so that the next one can say what changed."""

from slipway.values.base import Value


class Manifest(Value):
    """Everything that shaped a release, by name.

    Attributes:
        repo: Public name of the source.
        commit: Its commit.
        license: As the source declares it.
        chat_template_digest: SHA-256 of its chat template; None if it has none.
        variant: Name of the artifact.
        settings: Entries of the configuration files, as ``config.json: rope_theta``.
        weights: SHA-256 of the checkpoint's files.
        artifact: SHA-256 of the artifact's files.
        tools: Versions of the tools that shaped them.
    """

    repo: str
    commit: str
    license: str | None
    chat_template_digest: str | None
    variant: str
    settings: dict[str, str]
    weights: dict[str, str]
    artifact: dict[str, str]
    tools: dict[str, str]
