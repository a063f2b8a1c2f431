"""One image through nvpcodec and through other codecs: sizes, theory, seconds, and where the bits went."""

from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from nvpcodec import codec, peers
from nvpcodec.errors import InputError, NvpError
from nvpcodec.heatmap import Heatmap, heatmap
from nvpcodec.options import Options
from nvpcodec.peers import PeerSize
from nvpcodec.pixels import Image, Metadata
from nvpcodec.report import Report


@dataclass(frozen=True)
class Comparison:
    """What was measured of one image; its metadata were left out of all files.

    `bits_map` is None where the model gives a pixel no bits of its own.
    """

    name: str
    image: Image
    report: Report
    peers: dict[str, PeerSize]
    encode_seconds: float
    decode_seconds: float
    bits_map: Heatmap | None

    @property
    def file_bytes(self) -> int:
        return self.report.file_bits // 8

    @property
    def best_peer(self) -> tuple[str, int] | None:
        """Name and bytes of the smallest other file; None if there is none."""
        sizes = [(size.file_bytes, name) for name, size in self.peers.items() if size.file_bytes is not None]
        return (min(sizes)[1], min(sizes)[0]) if sizes else None

    @property
    def ratio(self) -> float:
        """Our file to the best other one: below 1 where ours is smaller."""
        return self.file_bytes / self.best_peer[1] if self.best_peer else 0.0

    def figures(self) -> dict[str, Any]:
        """All numbers, ready for JSON."""
        best = self.best_peer
        return {
            "name": self.name,
            "width": self.image.width,
            "height": self.image.height,
            "kind": self.image.kind.name.lower(),
            "bit_depth": self.image.bit_depth,
            "samples": self.report.dims,
            "file_bytes": self.file_bytes,
            "bits_per_dim": self.report.file_bits / self.report.dims,
            "peer_bytes": {name: size.file_bytes for name, size in self.peers.items()},
            "best_peer": best[0] if best else None,
            "ratio_to_best_peer": self.ratio if best else None,
            "theory_bits": self.report.theory_bits,
            "coder_bits": self.report.coder_bits,
            "initial_bits": self.report.initial_bits,
            "side_bits": self.report.side_bits,
            "container_bits": self.report.container_bits,
            "encode_seconds": self.encode_seconds,
            "decode_seconds": self.decode_seconds,
            "scale_bits": None if self.bits_map is None else list(self.bits_map.scale_bits),
        }


def compare(name: str, image: Image, options: Options) -> Comparison:
    """Code the pixels of `image` with all codecs, and decode ours again.

    Raises
    ------
    ModelError, DeviceError
        The model or the device of the options cannot be used.
    NvpError
        Our file decodes to another image.
    """
    image = replace(image, metadata=Metadata())
    started = perf_counter()
    data, report = codec.encode_with_report(image, options)
    encoded = perf_counter()
    decoded = codec.decode_image(data, options)
    decode_seconds = perf_counter() - encoded
    if not decoded.equals(image):
        raise NvpError(f"{name}: the file decodes to another image: this is a bug, please report it")
    return Comparison(
        name, image, report, peers.measure(image), encoded - started, decode_seconds, _map(image, options)
    )


def prepare(options: Options) -> None:
    """Load and test the model, so that the first image is not charged for it.

    Raises
    ------
    ModelError, DeviceError
        As for `compare`.
    """
    codec.coder_of(options)


def _map(image: Image, options: Options) -> Heatmap | None:
    try:
        return heatmap(image, options)
    except InputError:
        return None


def by_ratio(comparisons: list[Comparison]) -> list[Comparison]:
    """Those first that are largest beside the best other codec."""
    return sorted(comparisons, key=lambda each: -each.ratio)


def by_seconds(comparisons: list[Comparison]) -> list[Comparison]:
    """Those first that took longest to encode and decode."""
    return sorted(comparisons, key=lambda each: -(each.encode_seconds + each.decode_seconds))


def totals(comparisons: list[Comparison]) -> dict[str, Any]:
    """Sums over all images; a codec that could not code one of them has no sum."""
    peer_bytes: dict[str, int | None] = {}
    for name in comparisons[0].peers:
        sizes = [each.peers[name].file_bytes for each in comparisons]
        known = [size for size in sizes if size is not None]
        peer_bytes[name] = sum(known) if len(known) == len(sizes) else None
    samples = sum(each.report.dims for each in comparisons)
    file_bytes = sum(each.file_bytes for each in comparisons)
    return {
        "images": len(comparisons),
        "samples": samples,
        "pixels": sum(each.image.width * each.image.height for each in comparisons),
        "file_bytes": file_bytes,
        "bits_per_dim": 8 * file_bytes / samples,
        "peer_bytes": peer_bytes,
        "theory_bits": sum(each.report.theory_bits for each in comparisons),
        "encode_seconds": sum(each.encode_seconds for each in comparisons),
        "decode_seconds": sum(each.decode_seconds for each in comparisons),
    }
