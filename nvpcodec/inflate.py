"""Raw deflate streams of a known length, from bytes that nobody vouches for."""

import zlib

from nvpcodec.errors import DamagedFileError


def inflated(data: bytes, count: int, what: str) -> bytes:
    """The `count` bytes of a stream that ends with `data`; no more than one byte beyond is ever unpacked.

    Raises
    ------
    DamagedFileError
        The stream is damaged or of another length; the message says of `what`.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        raw = inflater.decompress(data, count + 1)
    except zlib.error as error:
        raise DamagedFileError(f"{what} is damaged; get a good copy of the file") from error
    if len(raw) != count or not inflater.eof or inflater.unused_data:
        raise DamagedFileError(f"{what} has another length; get a good copy of the file")
    return raw
