"""All expected errors. Their HTTP statuses are in `service/api/problems.py`."""

from __future__ import annotations


class AgelensError(Exception):
    """Base class of all expected errors; the message may be shown to a caller.

    `retry_after_s` says when to try again, if that helps and is known.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        """Keep the message and the seconds after which the caller may try again."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


def needs_extra(what: str, extra: str) -> str:
    """Say that something needs an extra of the package, and how that is installed."""
    return (
        f"{what} needs the extra `{extra}`, which is not installed; in a checkout `make extras EXTRAS={extra}` "
        f"installs it, elsewhere pip install 'agelens-….whl[{extra}]'"
    )


class PictureError(AgelensError):
    """The picture cannot be used."""


class UnsupportedPicture(PictureError):
    """The picture is in a format that the service does not read."""


class EmptyPicture(PictureError):
    """The picture has no bytes."""


class CorruptPicture(PictureError):
    """The picture is truncated or damaged."""


class PictureTooLarge(PictureError):
    """Decoding the picture would take more pixels, processor time or memory than allowed."""


class RequestError(AgelensError):
    """The request itself is wrong."""


class InvalidParameter(RequestError):
    """A parameter or form field is not known, or its value is out of range."""


class UnknownModel(RequestError):
    """No loaded model has this name."""


class BodyTooLarge(RequestError):
    """The body has more bytes or parts than allowed."""


class UnknownResource(RequestError):
    """There is no resource of this name."""


class BodyTooSlow(RequestError):
    """The body did not arrive in time."""


class MalformedBody(RequestError):
    """The body does not match its Content-Type."""


class UnsupportedBody(RequestError):
    """The content type of the body is not supported."""


class NotAcceptable(RequestError):
    """The caller accepts none of the media types that the reply can have."""


class AccessError(AgelensError):
    """The caller is not allowed to send the request."""


class KeyRejected(AccessError):
    """The API key is missing or invalid."""


class RateExceeded(AccessError):
    """Too many requests with this API key."""


class AvailabilityError(AgelensError):
    """The service cannot answer now."""


class QueueFull(AvailabilityError):
    """The queue is full."""


class DeadlineExceeded(AvailabilityError):
    """The request was not answered before its deadline."""


class NotReady(AvailabilityError):
    """Models are not loaded yet, or the service is shutting down."""


class ClientDisconnected(AvailabilityError):
    """The client disconnected before the answer was ready."""


class SetupError(AgelensError):
    """The installation is wrong; the message names the file or setting and the remedy."""


class InvalidSetting(SetupError):
    """A setting has a value that cannot be used."""


class FileMissing(SetupError):
    """A file that models.lock.json names is missing."""


class ChecksumMismatch(SetupError):
    """A file does not have the size or sha256 of models.lock.json."""


class InvalidModelFile(SetupError):
    """An ONNX file does not have the tensors or the manifest that the service expects."""
