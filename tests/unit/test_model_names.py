"""How a request names a model."""

import pytest

from slipway.serving.api_errors import ApiError
from slipway.serving.model_names import AskedModel


@pytest.mark.parametrize(
    ("text", "name", "version"),
    [
        ("tiny", "tiny", None),
        ("tiny@champion", "tiny", None),
        ("tiny:12", "tiny", 12),
        ("tiny:012", "tiny:012", None),
        ("tiny:latest", "tiny:latest", None),
        ("tiny@candidate", "tiny@candidate", None),
        ("tiny@champion:1", "tiny@champion:1", None),
        (":1", ":1", None),
        ("", "", None),
        ("tiny:1\n", "tiny:1\n", None),
        ("tiny:" + "9" * 5000, "tiny:" + "9" * 5000, None),
    ],
)
def test_a_name_has_one_of_three_forms(text: str, name: str, version: int | None) -> None:
    """Any other text is a name that nothing has."""
    asked = AskedModel.of(text)

    assert (asked.name, asked.version) == (name, version)


def test_a_version_that_is_not_served_is_named_with_the_one_that_is() -> None:
    """And the served one is what is meant without a number."""
    AskedModel.of("tiny").require_version(3)
    AskedModel.of("tiny:3").require_version(3)

    with pytest.raises(ApiError, match="tiny v2 is not served; this server has version 3") as error:
        AskedModel.of("tiny:2").require_version(3)

    assert (error.value.status, error.value.fields.code) == (404, "model_not_found")
