"""Every error that nvpcodec raises on purpose.

NvpError
├── FormatError                    these bytes are not a valid .nvp file
│   ├── DamagedFileError           it was one, but was cut or changed
│   ├── UnsupportedVersionError    it is one, of a version that this program does not know
│   └── UnknownModelError          it needs a model that is not available here
├── InputError                     an image, array, path or option given by the caller is no good
│   ├── UnsupportedImageError      a kind of image that the format cannot hold
│   └── ImageTooLargeError         more samples than the limit allows
├── OutputExistsError              the target exists and was not to be replaced
├── OutputError                    the target cannot be written
├── ModelError                     a weights file is unusable: malformed, or its bounds do not hold
└── DeviceError                    the device asked for is missing or computes other integers

The message of each is one line that says what is wrong and what can be done about it.
"""

from __future__ import annotations


class NvpError(Exception):
    """Root of all errors that nvpcodec raises on purpose."""


class FormatError(NvpError):
    """The bytes are not a valid .nvp file."""


class DamagedFileError(FormatError):
    """The file was cut short or changed after it was written: a checksum or a length does not fit."""


class UnsupportedVersionError(FormatError):
    """The file has a format version that this program does not know."""


class UnknownModelError(FormatError):
    """The file was coded with a model that is not available here."""


class InputError(NvpError):
    """An image, array, path or option given by the caller cannot be used."""


class UnsupportedImageError(InputError):
    """The image is of a kind that the format cannot hold without loss."""


class ImageTooLargeError(InputError):
    """The image has more samples than the limit allows."""


class OutputExistsError(NvpError):
    """The target exists already and the caller did not ask to replace it."""


class OutputError(NvpError):
    """The target cannot be written."""


class ModelError(NvpError):
    """A weights file is unusable: it is malformed, or one of its proven bounds does not hold."""


class DeviceError(NvpError):
    """The device asked for is not there, or fails the known-answer test."""
