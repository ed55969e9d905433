"""A picture in a JSON body, in base64: for clients that cannot send binary bodies, such as queues."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.errors import InvalidParameter, MalformedBody
from service.inference.options import PredictOptions, unknown_name


class JsonPicture(BaseModel):
    """The JSON body of a prediction; the options are in the query, as for every body."""

    model_config = ConfigDict(extra="forbid")

    image: str = Field(
        description="the encoded picture in base64, or as a data URL",
        json_schema_extra={"contentEncoding": "base64"},
        examples=["data:image/jpeg;base64,/9j/4AAQSkZJRg…"],
    )


_MOST_PARTS: Final = 64
"""Commas and brackets in a body: one with `image` alone has four; a data URL may have more."""
_LONGEST_HEAD: Final = 1024
"""Characters of a data URL in which its media type ends."""
_BLANKS: Final = b" \t\r\n"
_FAULTS: Final = {
    "json_invalid": 'the body is not valid JSON; send an object as {"image": "…"}',
    "model_type": 'the JSON body is not an object as {"image": "…"}',
    "missing": "the JSON body has no `image`, the picture in base64",
}
"""What is said of a body, by pydantic's types of error."""


def picture_in(body: bytes) -> bytes:
    """Return the picture's bytes; raise MalformedBody, or InvalidParameter naming a member that is not known."""
    body = body.removeprefix(b"\xef\xbb\xbf")
    # Before parsing: a million members or items would take seconds and gigabytes.
    if sum(map(body.count, (b",", b"[", b"{"))) > _MOST_PARTS:
        raise MalformedBody("the JSON body has more in it than `image`, the picture in base64")
    try:
        image = JsonPicture.model_validate_json(body).image
    except ValidationError as error:
        errors = error.errors(include_url=False)
        for each in errors:  # a misspelt `image` is missing as well
            if each["type"] == "extra_forbidden":
                raise InvalidParameter(unknown_field(str(each["loc"][0]), "JSON", "image")) from None
        raise MalformedBody(_FAULTS.get(errors[0]["type"], "`image` in the JSON body is not text in base64")) from None
    picture = _decoded(image)
    # Base64 has no quotation marks, so more of them mean more members, and no other name is known.
    if body.count(b'"') - body.count(b'\\"') > 4:
        raise MalformedBody("the JSON body has `image` more than once; send one picture")
    return picture


def _decoded(image: str) -> bytes:
    if image[:5].lower() == "data:":
        begins = image[:_LONGEST_HEAD].lower().find(";base64,")
        if begins < 0:
            raise MalformedBody("`image` in the JSON body is a data URL without `;base64,` before the picture")
        image = image[begins + len(";base64,") :]
    try:
        return base64.b64decode(image.encode("ascii").translate(None, _BLANKS), validate=True)
    except (binascii.Error, ValueError):
        if "://" in image[:16]:
            raise MalformedBody(
                "`image` in the JSON body is an address, which is not fetched; send the picture itself in base64"
            ) from None
        raise MalformedBody(
            "`image` in the JSON body is not base64; write it with + and /, and with = at its end"
        ) from None


def unknown_field(name: str, place: str, wanted: str) -> str:
    """Say that a form or a JSON body has no such field, and where an option belongs."""
    if name in PredictOptions.model_fields:
        return f"{name} in the {place} belongs in the URL's query, as ?{name}=…; the {place} takes `{wanted}`"
    return unknown_name(f"{name[:64]} in the {place}", name, [wanted])
