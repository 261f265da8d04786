"""What the run forms of the Prefect UI ask for, beyond plain texts and switches."""

from typing import Annotated, Any, Literal

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema

from slipway import catalogue
from slipway.settings import Settings


class _OfTheCatalogue:
    """Lets a form offer the catalogue's models; read when the form's schema is made."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the schema of a text, with the texts to pick from."""
        return {**handler(schema), "enum": list(catalogue.load(Settings().catalogue))}


Model = Annotated[str, _OfTheCatalogue()]

#: What is built: the recipe as the catalogue has it, or one candidate of this precision alone.
Recipe = Literal["as in the catalogue", "int4", "int8", "fp32"]
