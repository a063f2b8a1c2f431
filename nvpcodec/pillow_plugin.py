"""A plugin for Pillow: ``Image.open`` and ``save`` for .nvp files.

It is registered when it is imported:

    import nvpcodec.pillow_plugin

``import nvpcodec`` does not do that.  Pillow finds plugins in no other way, and a library that changes what
another one does should be asked to.  Opening a file imports no torch; loading its pixels does.

Every error of a file that is .nvp is an OSError, as Pillow's users expect; a file whose header is damaged is
not recognised, and Pillow says so with UnidentifiedImageError.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile, ImagePalette

from nvpcodec import container, outline, pictures, sources
from nvpcodec.errors import DamagedFileError, NvpError
from nvpcodec.options import Options
from nvpcodec.pixels import Image as Record
from nvpcodec.pixels import Kind, image_from_side_data

FORMAT = "NVP"


class NvpImageFile(ImageFile.ImageFile):
    """An .nvp file of which the header and the metadata have been read.

    ``text`` has the texts by keyword; they are in ``info`` as well.
    """

    format = FORMAT
    format_description = "nvpcodec lossless image"

    text: dict[str, str]

    def _open(self) -> None:
        source = sources.of_stream(self._stream())
        try:
            header = outline.read_header(source)
            record = _record_without_samples(source, header)
        except DamagedFileError as error:
            # Pillow asks for this error where a file is not what it seemed to be.
            raise SyntaxError(str(error)) from error
        except NvpError as error:
            raise OSError(str(error)) from error
        with _as_os_errors():
            self._mode = pictures.mode_of(record.kind, header.bit_depth)
        self._size = (header.width, header.height)
        self.info = pictures.info_of(record)
        self.text = pictures.texts_of(record.metadata)
        if record.palette is not None:
            self.palette = ImagePalette.raw("RGB", record.palette)
        self._source, self._header, self._factor = source, header, 1
        self._expect_pixels()

    def draft(
        self, mode: str | None, size: tuple[int, int] | None
    ) -> tuple[str, tuple[int, int, float, float]] | None:
        """Make the image that will be loaded smaller by a power of two, no smaller than ``size``.

        Its pixels are samples of the whole one's.  ``mode`` is not changed.  Of what a phase flow coded, only
        the beginning of each region will be read.  Returns the mode, and the part of the smaller image that
        shows the whole one.
        """
        if not self.tile or self._factor != 1 or size is None:
            return None
        width, height = self.size
        while 2 * self._factor * max(1, size[0]) <= width and 2 * self._factor * max(1, size[1]) <= height:
            self._factor *= 2
        self._size = outline.reduced_size(self._header, self._factor)
        self._expect_pixels()
        # The last row and column may reach beyond the image's edge.
        right, bottom = (
            side / self._factor if reduced == -(-side // self._factor) else float(reduced)
            for side, reduced in zip((width, height), self._size, strict=True)
        )
        return self.mode, (0, 0, right, bottom)

    def load(self) -> Any:
        """Decode the pixels, if that has not been done.

        Raises
        ------
        OSError
            The file is damaged, or needs a model that is not here.
        """
        if self.tile:
            with _as_os_errors():
                self.im = pictures.to_picture(self._decode()).im
            self.tile = []
            if self._exclusive_fp:
                self._stream().close()
            self.fp = None
        return super().load()

    def verify(self) -> None:
        """Compare the file's checksum; no pixel is decoded.

        Raises
        ------
        OSError
            The file was changed.
        """
        with _as_os_errors():
            data = self._source.read(0, self._source.size)
            container.parse(data, max_samples=self._header.samples)
        super().verify()

    def _decode(self) -> Record:
        from nvpcodec import codec, partial

        # Pillow has its own limit, which has been applied when the file was opened.
        options = Options(max_pixels=self._header.width * self._header.height)
        if self._factor > 1:
            return partial.read_reduced(self._source, self._header, self._factor, options)
        return codec.decode_image(self._source.read(0, self._source.size), options)

    def _expect_pixels(self) -> None:
        """Pillow takes an image for loaded when it has no tiles."""
        self.tile = [("nvp", (0, 0, *self._size), 0, ())]  # type: ignore[list-item]  # named in later versions

    def _stream(self) -> IO[bytes]:
        if self.fp is None:
            raise ValueError("the file has been closed")
        return self.fp


def _record_without_samples(source: sources.Source, header: container.Header) -> Record:
    """The record with a single pixel in place of all samples."""
    kind = Kind(header.kind)
    pixel = np.zeros((1, 1, kind.channels), np.uint16 if header.bit_depth == 16 else np.uint8)
    return image_from_side_data(pixel, kind, outline.read_side_data(source, header))


def _save(picture: Image.Image, stream: IO[bytes], _filename: str | bytes) -> None:
    """Write ``picture``, with the settings that ``save`` was given: some of ``Options``, and metadata."""
    from nvpcodec import codec

    settings: dict[str, Any] = dict(getattr(picture, "encoderinfo", {}))
    with _as_os_errors():
        chosen = {name: settings[name] for name in ("model", "device", "effort") if name in settings}
        options = Options(**chosen, max_pixels=max(1, picture.width * picture.height))
        data = codec.encode_image(pictures.to_image(picture, settings), options)
    stream.write(data)


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(container.MAGIC)


@contextmanager
def _as_os_errors() -> Iterator[None]:
    try:
        yield
    except NvpError as error:
        raise OSError(str(error)) from error


Image.register_open(FORMAT, NvpImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, ".nvp")
Image.register_mime(FORMAT, "image/x-nvp")
