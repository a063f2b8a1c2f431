"""The container: records come back, every rule is held on both sides, and no lie gets through."""

from __future__ import annotations

import dataclasses
import tracemalloc
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvpcodec import container
from nvpcodec.container import Container, RegionPart, parse, parse_header, write
from nvpcodec.errors import DamagedFileError, FormatError, ImageTooLargeError, UnsupportedVersionError
from tests.hostile import makers

ICON = Container(
    kind=container.RGBA,
    bit_depth=8,
    width=16,
    height=16,
    region_height=16,
    region_width=16,
    model_id=None,
    side_data=b"",
    regions=(RegionPart(container.MODE_DEFLATE, b"payload"),),
    pixel_checksum=0x01020304,
)
TILED = Container(
    kind=container.RGB,
    bit_depth=8,
    width=300,
    height=70,
    region_height=64,
    region_width=128,
    model_id=b"\xffmodel\x00!",
    side_data=b"side data",
    regions=(
        RegionPart(container.MODE_FLOW, b"a" * 200),
        RegionPart(container.MODE_STORED, b"b"),
        RegionPart(container.MODE_FLOW, b""),
        RegionPart(container.MODE_LZMA, b"c" * 5),
        RegionPart(container.MODE_DEFLATE, b"d" * 6),
        RegionPart(container.MODE_STORED, b"e" * 7),
    ),
    pixel_checksum=0xFFFFFFFF,
)


@st.composite
def containers(draw: st.DrawFn) -> Container:
    """Records that keep all rules."""
    kind = draw(st.sampled_from(sorted(container.CHANNELS)))
    width, height = draw(st.integers(1, 300)), draw(st.integers(1, 300))
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    region_height, region_width = -(-height // rows), -(-width // columns)
    count = -(-height // region_height) * -(-width // region_width)
    bit_depth = draw(st.sampled_from(container.BIT_DEPTHS[kind]))
    modes = container.MODES if kind in container.FLOW_KINDS and bit_depth == 8 else {0, 1, 2, 3, 4}
    modes = modes if bit_depth == 16 else modes - {container.MODE_DEEP}
    modes = modes if kind in (container.RGB, container.RGBA) else modes - container.COLOUR_MODES
    part = st.builds(RegionPart, st.sampled_from(sorted(modes)), st.binary(max_size=20))
    regions = tuple(draw(st.lists(part, min_size=count, max_size=count)))
    flow = any(region.mode in container.MODEL_MODES for region in regions)
    return Container(
        kind=kind,
        bit_depth=bit_depth,
        width=width,
        height=height,
        region_height=region_height,
        region_width=region_width,
        model_id=draw(st.binary(min_size=8, max_size=8)) if flow else None,
        side_data=draw(st.binary(max_size=30)),
        regions=regions,
        pixel_checksum=draw(st.integers(0, 2**32 - 1)),
    )


def refusal(data: bytes) -> FormatError | ImageTooLargeError | None:
    """The error with which ``data`` is refused; None if it is accepted. Any other error is a failure."""
    try:
        parse(data)
    except (FormatError, ImageTooLargeError) as error:
        return error
    return None


@settings(derandomize=True, max_examples=100, deadline=None)
@given(containers())
def test_a_record_comes_back(record: Container) -> None:
    data = write(record)
    assert parse(data) == record
    assert parse(memoryview(bytearray(data))) == record
    assert parse_header(data).file_bytes == len(data)


def test_the_bytes_of_a_small_file() -> None:
    """Written out once by hand, so that the layout cannot drift."""
    head = bytes.fromhex("8e4e5650 01 0b 10 10 00 00 00 01 07")
    body = head + makers.crc(head) + b"payload" + bytes.fromhex("04030201")
    assert write(ICON) == body + makers.crc(body)


def test_the_bytes_of_a_tiled_header() -> None:
    head = (
        bytes.fromhex("8e4e5650 01 0a ac02 46 40 8001 09 10c801 0001 1000 0205 0106 0007") + b"\xffmodel\x00!"
    )
    data = write(TILED)
    assert data[: len(head)] == head
    assert data[len(head) :][:4] == makers.crc(head)
    assert data[len(head) + 4 :][:9] == b"side data"


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**35 - 1, "ffffffff7f")],
)
def test_varints(value: int, encoded: str) -> None:
    data = bytes.fromhex(encoded)
    assert container.varint_to_bytes(value) == data
    assert container.varint_from_bytes(b"?" + data + b"\x01", 1) == (value, 1 + len(data))


@pytest.mark.parametrize("encoded", ["", "80", "ffff", "8000", "ffffffff00", "ffffffff80", "ffffffffff01"])
def test_varints_have_one_form(encoded: str) -> None:
    with pytest.raises(DamagedFileError):
        container.varint_from_bytes(bytes.fromhex(encoded), 0)


def test_checksum_is_the_published_crc_32() -> None:
    assert container.checksum(b"123456789") == 0xCBF43926


def test_overhead_of_one_region() -> None:
    """At most 40 bytes beyond payload and side data for any image of less than 2^14 pixels a side."""
    payload = bytes(2**21 - 1)
    flow = dataclasses.replace(
        ICON,
        width=2**14 - 1,
        height=2**14 - 1,
        region_width=2**14 - 1,
        region_height=2**14 - 1,
        regions=(RegionPart(container.MODE_FLOW, payload),),
        model_id=b"8 bytes!",
    )
    assert len(write(flow)) - len(payload) == 37
    assert len(write(ICON)) - len(b"payload") == 25


def test_header_tells_where_the_bytes_went() -> None:
    data = write(TILED)
    header = parse_header(data)
    assert [region.payload_bytes for region in header.regions] == [200, 1, 0, 5, 6, 7]
    assert (header.payload_bytes, header.side_bytes, header.checksum_bytes) == (219, 9, 12)
    assert header.header_bytes + 219 + 9 + 12 == header.file_bytes == len(data)
    assert header.samples == 300 * 70 * 3


def test_header_can_be_read_from_a_prefix() -> None:
    data = write(TILED)
    header = parse_header(data)
    assert parse_header(data[: header.header_bytes + 4]) == header


@pytest.mark.parametrize("record", [ICON, TILED], ids=["icon", "tiled"])
def test_any_changed_byte_is_found(record: Container) -> None:
    for what, data in makers.flipped(write(record)):
        assert refusal(data) is not None, f"accepted with {what}"


@pytest.mark.parametrize("record", [ICON, TILED], ids=["icon", "tiled"])
def test_any_cut_is_found_and_named_damage(record: Container) -> None:
    for what, data in makers.cuts(write(record)):
        assert isinstance(refusal(data), DamagedFileError if data else FormatError), f"accepted when {what}"


def test_the_maker_of_lies_can_tell_the_truth() -> None:
    """Else the lies below might be refused for a mistake of their maker."""
    record = parse(makers.raw_file())
    assert record.regions == (RegionPart(0, b"\x03abcdef"),)
    assert (record.width, record.height, record.kind) == (2, 3, container.GREY)


@pytest.mark.parametrize("name", makers.lies())
def test_a_lie_under_right_checksums_is_refused(name: str) -> None:
    with pytest.raises(FormatError):
        parse(makers.lies()[name])


def test_what_is_accepted_has_no_other_encoding() -> None:
    """Headers changed at random and sealed again are refused, or are what ``write`` makes of them."""
    random = Random(9)
    data = write(TILED)
    head_bytes = parse_header(data).header_bytes
    accepted = 0
    for _ in range(3000):
        head = bytearray(data[:head_bytes])
        for _ in range(random.randint(1, 3)):
            head[random.randrange(5, head_bytes)] = random.choice(
                (0, 1, 2, 6, 7, 9, 16, 64, 128, random.randrange(256))
            )
        body = bytes(head) + makers.crc(head) + data[head_bytes + 4 : -4]
        changed = body + makers.crc(body)
        if refusal(changed) is None:
            accepted += 1
            assert write(parse(changed)) == changed
    assert accepted > 100


@pytest.mark.parametrize("name", makers.huge_claims())
def test_a_huge_claim_is_refused_before_memory_is_taken(name: str) -> None:
    data = makers.huge_claims()[name]
    tracemalloc.start()
    try:
        with pytest.raises((FormatError, ImageTooLargeError)):
            parse(data)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 100_000


def test_a_table_of_too_many_regions_is_not_read() -> None:
    """Its lines are all there, but the records of them would take a hundred times the file."""
    count = container.MAX_REGIONS + 1
    data = makers.raw_file(
        height=makers.varint(count), region_height=b"\x01", table=(), model_id=b"\x00\x00" * count, body=b""
    )
    tracemalloc.start()
    try:
        with pytest.raises(DamagedFileError, match="claims 1048577 regions"):
            parse_header(data)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 100_000


def test_sample_limit_is_exact_and_can_be_raised() -> None:
    data = write(ICON)
    assert parse(data, max_samples=1024) == ICON
    with pytest.raises(ImageTooLargeError, match=r"1024 samples.*limit is 1023"):
        parse(data, max_samples=1023)
    large = makers.huge_claims()["RGB just above the usual limit"]
    with pytest.raises(ImageTooLargeError):
        parse(large)
    assert parse(large, max_samples=2**29).width == 2**14


def test_damage_is_told_before_size() -> None:
    """A changed byte in the width must not send the user after a larger limit."""
    data = bytearray(write(ICON))
    data[6] ^= 0x6F
    with pytest.raises(DamagedFileError, match="header checksum"):
        parse(bytes(data), max_samples=1024)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", FormatError, "empty"),
        (b"\x89PNG\r\n\x1a\n", FormatError, "not an .nvp file"),
        (b"plain text", FormatError, "not an .nvp file"),
        (b"\x8eNV", DamagedFileError, "cut"),
        (makers.raw_file(version=2), UnsupportedVersionError, "version 2.*reads version 1"),
        (makers.raw_file(tail=b"?"), FormatError, "1 bytes follow"),
        (makers.raw_file()[:-1], DamagedFileError, "has 31 of its 32 bytes"),
        (
            makers.raw_file()[:-5] + b"!" + makers.raw_file()[-4:],
            DamagedFileError,
            "file checksum is .* stored",
        ),
        (makers.huge_claims()["2^20 regions without lines"], DamagedFileError, "claims 1048576 regions"),
        (makers.raw_file(form=6 | 1 << 3), FormatError, "kind 6 is reserved"),
        (makers.raw_file(table=((5, b"\x07"),)), FormatError, "mode 5 is reserved"),
    ],
)
def test_messages_say_what_is_wrong_in_one_line(data: bytes, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        parse(data)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": 6},
        {"bit_depth": 1},
        {"width": 0},
        {"width": -1},
        {"region_height": 17},
        {"region_height": 0},
        {"region_width": 8},
        {"regions": ()},
        {"regions": (RegionPart(5, b""),)},
        {"regions": (RegionPart(container.MODE_FLOW, b""),)},
        {"model_id": b"8 bytes!"},
        {"pixel_checksum": 2**32},
        {"pixel_checksum": -1},
    ],
    ids=str,
)
def test_a_record_that_breaks_a_rule_is_not_written(changes: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        write(dataclasses.replace(ICON, **changes))  # type: ignore[arg-type]


def test_a_model_id_of_another_length_is_not_written() -> None:
    with pytest.raises(FormatError, match="8 bytes, not 7"):
        write(dataclasses.replace(TILED, model_id=b"7 bytes"))


def test_limits_of_the_geometry() -> None:
    side = container.MAX_DIMENSION
    widest = dataclasses.replace(ICON, width=side, region_width=side, height=1, region_height=1)
    assert parse(write(widest), max_samples=4 * side) == widest
    with pytest.raises(ImageTooLargeError, match="cut it into parts"):
        write(dataclasses.replace(ICON, width=side + 1, region_width=side + 1))
    with pytest.raises(FormatError, match="use larger regions"):
        write(dataclasses.replace(ICON, height=2**20 + 1, region_height=1))


@pytest.mark.parametrize(
    ("kind", "bit_depth"),
    [(container.GREY, 16), (container.RGB, 16), (container.PALETTE, 8), (container.BILEVEL, 1)],
)
def test_a_flow_codes_grey_and_colour_of_eight_bits_only(kind: int, bit_depth: int) -> None:
    flow = Container(
        kind=kind,
        bit_depth=bit_depth,
        width=3,
        height=2,
        region_height=2,
        region_width=3,
        model_id=bytes(8),
        side_data=b"",
        regions=(RegionPart(container.MODE_FLOW, b"payload"),),
        pixel_checksum=0,
    )
    with pytest.raises(FormatError, match="flow regions"):
        write(flow)
