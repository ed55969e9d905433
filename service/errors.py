"""All errors that the domain raises. No HTTP here: `problems.py` alone knows statuses."""

from __future__ import annotations


class AgelensError(Exception):
    """Base of every error the domain raises; its text is fit to show to a caller."""


class PictureError(AgelensError):
    """The bytes are not a picture that can be used."""


class UnsupportedPicture(PictureError):
    """The bytes are not of a picture format that the service reads."""


class CorruptPicture(PictureError):
    """The picture is truncated or damaged."""


class PictureTooLarge(PictureError):
    """The header claims more pixels than allowed."""


class RequestError(AgelensError):
    """The question itself is wrong."""


class InvalidParameter(RequestError):
    """A parameter is out of range."""


class UnknownModel(RequestError):
    """No loaded model has this name."""


class BodyTooLarge(RequestError):
    """More bytes or parts than allowed."""


class UnknownResource(RequestError):
    """Nothing of this name is to be shown."""


class BodyTooSlow(RequestError):
    """The body did not arrive in time."""


class MalformedBody(RequestError):
    """The body is not what its content type announces."""


class UnsupportedBody(RequestError):
    """The content type is none that a body is read as."""


class NotAcceptable(RequestError):
    """The caller accepts none of the media types the reply can have."""


class AccessError(AgelensError):
    """The caller may not ask; `retry_after_s` says when to ask again, where that helps."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        """Keep the message and the seconds after which asking again makes sense."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class KeyRejected(AccessError):
    """No API key came, or a wrong one."""


class RateExceeded(AccessError):
    """This API key asked too much in too short a time."""


class AvailabilityError(AgelensError):
    """A good question at a bad time; `retry_after_s` says when to ask again, where that is known."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        """Keep the message and the seconds after which asking again makes sense."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueueFull(AvailabilityError):
    """The bounded queue has no place left."""


class DeadlineExceeded(AvailabilityError):
    """The request's time is over."""


class NotReady(AvailabilityError):
    """Models are not loaded yet, or the service drains."""


class ClientDisconnected(AvailabilityError):
    """The caller hung up before the answer was ready."""


class SetupError(AgelensError):
    """The installation is wrong; the message names the file or setting and the remedy."""


class InvalidSetting(SetupError):
    """A setting has a value that cannot be used."""


class FileMissing(SetupError):
    """A file that models.lock.json names is not there."""


class ChecksumMismatch(SetupError):
    """A file does not have the size or sha256 of models.lock.json."""


class InvalidModelFile(SetupError):
    """An ONNX file does not keep the contract between training and service."""
