"""The report as one HTML page that needs nothing else: no script, no font and no image from elsewhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator
from html import escape

from PIL import Image as PillowImage

from nvpcodec import __version__, arrays, heat_picture
from nvpcodec.comparison import Comparison, by_ratio, by_seconds, totals
from nvpcodec.heatmap import Heatmap
from nvpcodec.options import Options
from nvpcodec.peers import PEERS, PeerSize
from nvpcodec.pixels import Image, Kind
from nvpcodec.report import Report

OURS = "nvpcodec"
#: Pixels along the longer side of the pictures in the page.
PICTURE_SIDE = 640
#: Images in the short lists at the top.
LISTED = 3
_KINDS = {
    Kind.GREY: "grey",
    Kind.GREY_ALPHA: "grey and alpha",
    Kind.RGB: "RGB",
    Kind.RGBA: "RGBA",
    Kind.PALETTE: "palette",
    Kind.BILEVEL: "black and white",
}


def render(comparisons: list[Comparison], options: Options) -> str:
    """The page; the images that are largest beside the best other codec come first."""
    ranked = by_ratio(comparisons)
    maps = [each.bits_map.bits for each in ranked if each.bits_map is not None]
    top = heat_picture.top_of(maps) if maps else 2
    numbers = {id(each): number for number, each in enumerate(ranked, 1)}
    images = "\n".join(_image(numbers[id(each)], each, top) for each in ranked)
    lists = _short_lists(ranked, numbers) if len(ranked) > 1 else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>{OURS}: {_images(len(ranked))}</title>
<style>{_STYLE.replace("RAMP", _ramp())}</style>
</head>
<body>
<main>
{_head(ranked, options)}
{_totals(ranked)}
{lists}
<section class="images" aria-label="Images">
{images}
</section>
{_notes()}
</main>
</body>
</html>
"""


def _head(ranked: list[Comparison], options: Options) -> str:
    pixels = totals(ranked)["pixels"]
    what = f"{_images(len(ranked))}, {pixels / 1e6:.2f} megapixels"
    how = f"model {options.model}, effort {options.effort}, device {options.device}"
    return f"""<header>
<h1>Lossless, side by side</h1>
<p>{escape(what)}. {OURS} {__version__}, {escape(how)}.</p>
</header>"""


def _totals(ranked: list[Comparison]) -> str:
    summed = totals(ranked)
    sizes = {name: PeerSize(size, "not all images") for name, size in summed["peer_bytes"].items()}
    gap = _gap(ranked)
    tiles = [
        (f"{summed['bits_per_dim']:.3f}", "bits/dim, whole files"),
        *([(gap, "above the theory")] if gap else []),
        (_speed(summed["samples"], summed["encode_seconds"]), "MB/s to encode"),
        (_speed(summed["samples"], summed["decode_seconds"]), "MB/s to decode"),
    ]
    shown = "".join(f"<div><b>{value}</b><span>{label}</span></div>" for value, label in tiles)
    return f"""<section class="card totals">
<h2>In all</h2>
<div class="tiles">{shown}</div>
{_sizes(summed["file_bytes"], sizes, summed["samples"])}
</section>"""


def _gap(ranked: list[Comparison]) -> str:
    theory = sum(each.report.theory_bits for each in ranked)
    if not theory:
        return ""
    beyond = sum(
        each.report.coder_bits + each.report.initial_bits + each.report.container_bits for each in ranked
    )
    return f"{100 * beyond / theory:.2f} %"


def _short_lists(ranked: list[Comparison], numbers: dict[int, int]) -> str:
    worst = [(each, _against(each)) for each in ranked[:LISTED]]
    slowest = [
        (each, f"{each.encode_seconds:.2f} s + {each.decode_seconds:.2f} s")
        for each in by_seconds(ranked)[:LISTED]
    ]
    lists = (("Worst beside the best other codec", worst), ("Slowest to encode + decode", slowest))
    shown = "".join(
        f"""<section class="card"><h2>{title}</h2><ol>{
            "".join(
                f'<li><a href="#image-{numbers[id(each)]}">{escape(each.name)}</a><span>{text}</span></li>'
                for each, text in entries
            )
        }</ol></section>"""
        for title, entries in lists
    )
    return f'<div class="lists">{shown}</div>'


def _image(number: int, each: Comparison, top: int) -> str:
    """One image's row: pictures, sizes, theory, scales."""
    image = each.image
    size = (
        f"{image.width} × {image.height} {_KINDS[image.kind]}, {image.kind.channels} × {_depth(image)} bits"
    )
    mood = "better" if each.ratio <= 1 else "worse"
    return f"""<article class="card" id="image-{number}" data-ratio="{each.ratio:.6f}">
<div class="title"><h2>{escape(each.name)}</h2><p>{size}</p><p class="{mood}">{_against(each)}</p></div>
<div class="pictures">
<figure><img src="{_thumbnail(image)}" alt="{escape(each.name)}"></figure>
{_map(each, top)}
</div>
<div class="figures">
<section><h3>Bytes</h3>{_sizes(each.file_bytes, each.peers, each.report.dims)}</section>
<section><h3>Theory and file, bits/dim</h3>{_theory(each.report)}</section>
<section><h3>Seconds</h3>{_seconds(each)}</section>
{_scales(each.bits_map)}
</div>
</article>"""


def _depth(image: Image) -> int:
    return 1 if image.kind is Kind.BILEVEL else image.bit_depth


def _against(each: Comparison) -> str:
    """How our file compares with the best other one."""
    if each.best_peer is None:
        return "no other codec to compare with"
    difference = 100 * (each.ratio - 1)
    word = "smaller" if difference <= 0 else "larger"
    return f"{abs(difference):.1f} % {word} than {escape(each.best_peer[0])}"


def _sizes(file_bytes: int, sizes: dict[str, PeerSize], samples: int) -> str:
    """A table with a bar for each codec."""
    known = [size.file_bytes for size in sizes.values() if size.file_bytes is not None]
    longest = max([file_bytes, *known])
    rows = [_size_row(OURS, file_bytes, longest, samples, "", ours=True)]
    for name, size in sizes.items():
        if size.file_bytes is None:
            cell = f'<td colspan="4" class="dim">{escape(size.why_not)}</td>'
            rows.append(f'<tr><th scope="row">{escape(name)}</th>{cell}</tr>')
        else:
            change = f"{100 * (size.file_bytes / file_bytes - 1):+.1f} %".replace("-", "−")
            rows.append(_size_row(name, size.file_bytes, longest, samples, change))
    head = (
        '<tr class="dim"><th></th><td class="bar"></td><td>bytes</td><td>bits/dim</td>'
        '<td class="change">to ours</td></tr>'
    )
    return f'<table class="sizes">{head}{"".join(rows)}</table>'


def _size_row(
    name: str, file_bytes: int, longest: int, samples: int, change: str, *, ours: bool = False
) -> str:
    return (
        f'<tr{" class=ours" if ours else ""}><th scope="row">{escape(name)}</th>'
        f'<td class="bar">{_bar(file_bytes / longest)}</td><td>{_thousands(file_bytes)}</td>'
        f'<td>{8 * file_bytes / samples:.3f}</td><td class="change">{change}</td></tr>'
    )


def _theory(report: Report) -> str:
    parts = (
        ("theory, −log₂ p", report.theory_bits),
        ("coder beyond it", report.coder_bits),
        ("initial bits", report.initial_bits),
        ("coded plainly, settings", report.side_bits),
        ("container", report.container_bits),
        ("file", report.file_bits),
    )
    listed = _list((name, f"{bits / report.dims:.5f}".replace("-", "−")) for name, bits in parts)
    return f'<div class="sum">{listed}</div>'


def _seconds(each: Comparison) -> str:
    return _list(
        (name, f"{seconds:.2f} <i>{_speed(each.report.dims, seconds)} MB/s</i>")
        for name, seconds in (("encode", each.encode_seconds), ("decode", each.decode_seconds))
    )


def _list(entries: Iterable[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{value}</dd>' for name, value in entries)}</dl>"


def _map(each: Comparison, top: int) -> str:
    """The map of bits with its legend, or why there is none."""
    if each.bits_map is None:
        return '<p class="dim none">The model codes all pixels of a region together: there is no map.</p>'
    if not each.bits_map.scale_bits:
        return '<p class="dim none">Coded without the flow: no pixel has bits of its own.</p>'
    bits = heat_picture.shrunk(each.bits_map.bits, PICTURE_SIDE)
    picture = _data(heat_picture.draw(bits, top), "png")
    mean = float(each.bits_map.bits.mean())
    legend = (
        f'<span class="legend"><span>0</span><span class="ramp"></span><span>{top} bits/pixel</span></span>'
    )
    return f"""<figure><img src="{picture}" alt="bits per pixel of {escape(each.name)}">
<figcaption>{legend}<span>mean {mean:.2f}</span></figcaption></figure>"""


def _scales(bits_map: Heatmap | None) -> str:
    """Bits by scale, as bars."""
    if bits_map is None or not bits_map.scale_bits:
        return ""
    rows = list(_scale_rows(bits_map))
    total = sum(bits for _, bits in rows)
    longest = max(bits for _, bits in rows)
    shown = "".join(
        f'<tr><th scope="row">{name}</th><td class="bar">{_bar(max(0.0, bits) / longest)}</td>'
        f"<td>{100 * bits / total:.2f} %</td></tr>"
        for name, bits in rows
    )
    return f'<section><h3>Bits by scale</h3><table class="sizes scales">{shown}</table></section>'


def _scale_rows(bits_map: Heatmap) -> Iterator[tuple[str, float]]:
    """The finest five scales, the rest together, and what belongs to none."""
    shown = bits_map.scale_bits[:5]
    for number, bits in enumerate(shown):
        yield (f"1:{1 << number}" if number else "full size"), bits
    if rest := sum(bits_map.scale_bits[5:]):
        yield "coarser", rest
    if bits_map.shared_bits:
        yield "coded plainly", bits_map.shared_bits
    yield "no pixel's", bits_map.unplaced_bits


def _notes() -> str:
    settings = "; ".join(f"{peer.name}: {peer.settings}" for peer in PEERS)
    return f"""<footer>
<p>All files are without metadata. {escape(settings)}. Each file of {OURS} was decoded and compared. Seconds
are those of one run on this machine; MB are samples in millions. “To ours” says how much larger a file is
than that of {OURS}. The map shows what each pixel costs, all channels together; one scale of colours holds
for all images.</p>
</footer>"""


def _thumbnail(image: Image) -> str:
    """What the image shows, at most `PICTURE_SIDE` pixels a side."""
    array = arrays.from_image(image)
    if array.dtype.itemsize == 2:
        array = (array >> 8).astype("uint8")
    picture = PillowImage.fromarray(array)
    picture = picture.convert("RGBA" if picture.mode in ("LA", "RGBA") else "RGB")
    picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    return _data(picture, "webp")


def _data(picture: PillowImage.Image, suffix: str) -> str:
    stream = io.BytesIO()
    picture.save(stream, suffix, optimize=True)
    return f"data:image/{suffix};base64,{base64.b64encode(stream.getvalue()).decode()}"


def _bar(share: float) -> str:
    return f'<span style="width:{100 * share:.2f}%"></span>'


def _ramp() -> str:
    colours = ",".join(f"rgb({red} {green} {blue})" for red, green, blue in heat_picture.COLOURS)
    return f"linear-gradient(90deg,{colours})"


def _thousands(number: int) -> str:
    return f"{number:,}".replace(",", "\u202f")


def _speed(samples: int, seconds: float) -> str:
    return f"{samples / 1e6 / seconds:.2f}"


def _images(count: int) -> str:
    return f"{count} image{'s' if count != 1 else ''}"


_STYLE = """
:root { --paper:#f6f5f2; --card:#fff; --ink:#23222a; --dim:#6b6974; --line:#e4e2dc; --bar:#c9c6d1;
 --ours:#5b3fa0; --better:#1f7a4d; --worse:#b4452c; }
@media (prefers-color-scheme: dark) { :root { --paper:#15151a; --card:#1e1e25; --ink:#e6e4ea; --dim:#9b98a6;
 --line:#32313b; --bar:#4b4956; --ours:#a98cf0; --better:#5fc492; --worse:#f08a6c; } }
* { box-sizing:border-box; }
body { margin:0; background:var(--paper); color:var(--ink);
 font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;
 font-variant-numeric:tabular-nums; }
main { max-width:1180px; margin:0 auto; padding:40px 24px 56px; }
h1 { font-size:28px; line-height:1.2; margin:0 0 6px; font-weight:650; letter-spacing:-.01em; }
h2 { font-size:17px; margin:0; font-weight:620; overflow-wrap:anywhere; }
h3 { font-size:12px; margin:0 0 6px; font-weight:600; color:var(--dim); }
header p, footer p, .dim { color:var(--dim); }
header p { margin:0; }
header { margin-bottom:24px; }
footer { font-size:13px; margin-top:28px; max-width:75ch; }
.card { background:var(--card); border:1px solid var(--line); border-radius:12px; padding:20px 24px; }
.tiles { display:flex; flex-wrap:wrap; gap:12px 44px; margin:14px 0 18px; }
.tiles div { display:flex; flex-direction:column; }
.tiles b { font-size:24px; font-weight:620; line-height:1.25; }
.tiles span { color:var(--dim); font-size:13px; }
.lists { display:grid; grid-template-columns:1fr 1fr; gap:16px; margin-top:16px; }
.lists h2 { font-size:15px; }
ol { list-style:none; margin:10px 0 0; padding:0; }
li { display:flex; justify-content:space-between; gap:16px; padding:4px 0; border-top:1px solid var(--line); }
li:first-child { border-top:0; }
li a { overflow-wrap:anywhere; }
li span { color:var(--dim); white-space:nowrap; }
a { color:inherit; text-decoration-color:var(--bar); text-underline-offset:3px; }
a:hover, a:focus-visible { text-decoration-color:currentColor; }
.images { display:grid; gap:16px; margin-top:16px; }
.title { display:flex; flex-wrap:wrap; align-items:baseline; gap:2px 16px; margin-bottom:14px; }
.title p { margin:0; color:var(--dim); }
.title .better, .title .worse { margin-left:auto; font-weight:600; }
.title .better { color:var(--better); }
.title .worse { color:var(--worse); }
.pictures { display:grid; grid-template-columns:1fr 1fr; gap:16px; }
figure { margin:0; min-width:0; }
img { display:block; width:100%; max-height:480px; object-fit:contain; object-position:left top;
 border-radius:6px; }
figcaption { display:flex; justify-content:space-between; gap:16px; margin-top:6px; font-size:13px;
 color:var(--dim); }
.legend { display:flex; align-items:center; gap:8px; }
.ramp { width:120px; height:8px; border-radius:4px; background:RAMP; }
.none { margin:0; align-self:center; justify-self:center; padding:16px; }
.figures { display:grid; grid-template-columns:1fr 1fr; gap:20px 32px; margin-top:18px; }
table.sizes { width:100%; border-collapse:collapse; }
.sizes th { text-align:left; font-weight:400; white-space:nowrap; padding:2px 12px 2px 0; width:1%; }
.sizes td { text-align:right; white-space:nowrap; padding:2px 0 2px 12px; width:1%; }
.sizes td.bar { width:auto; padding:2px 0; }
.sizes td[colspan] { text-align:left; padding-left:0; white-space:normal; }
.sizes .dim td { font-size:12px; }
.bar span { display:block; height:10px; min-width:1px; border-radius:3px; background:var(--bar); }
.ours th { font-weight:620; }
.ours .bar span, .scales .bar span { background:var(--ours); }
dl { display:grid; grid-template-columns:1fr auto; gap:2px 16px; margin:0; }
dt { color:var(--dim); }
dd { margin:0; text-align:right; }
.sum dd:last-of-type { font-weight:600; }
dd i { font-style:normal; font-weight:400; color:var(--dim); margin-left:8px; }
@media (max-width:760px) {
 main { padding:24px 12px 40px; }
 .card { padding:16px; }
 .lists, .pictures, .figures { grid-template-columns:1fr; }
 .title .better, .title .worse { margin-left:0; width:100%; }
 .change { display:none; }
}
@media print { .card { break-inside:avoid; } }
"""
