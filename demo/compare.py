"""Compares two image files pixel by pixel, with Pillow alone: nvpcodec does not judge itself."""

import sys

from PIL import Image


def main(first_path: str, second_path: str) -> int:
    """Exit status: 0 where mode, size and every sample are equal, else 1."""
    with Image.open(first_path) as first, Image.open(second_path) as second:
        equal = (first.mode, first.size, first.tobytes()) == (second.mode, second.size, second.tobytes())
        width, height = first.size
        verdict = "equal, every sample" if equal else "DIFFERENT"
        print(f"{first_path} and {second_path}: {width}x{height} {first.mode}: {verdict}")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
