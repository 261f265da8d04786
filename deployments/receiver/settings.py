"""What the receiver needs to know, besides what differs from machine to machine anyway."""

from pydantic import Field, SecretStr

from slipway.settings import Settings


class ReceiverSettings(Settings):
    """Read from environment variables that begin with ``SLIPWAY_``.

    Attributes:
        hub_webhook_secret: What the Hub sends along; without it the Hub's route refuses.
        mlflow_webhook_secret: What MLflow signs with; without it MLflow's route refuses.
    """

    hub_webhook_secret: SecretStr | None = Field(default=None, min_length=16)
    mlflow_webhook_secret: SecretStr | None = Field(default=None, min_length=16)
