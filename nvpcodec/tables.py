"""The integer scales that the whole model shares.

activations  multiples of 2^-5 in [-512, 511]
activity     half octaves: index m stands for 2^(m/2) / 4 pixel steps
shift        sixteenths of a pixel step
scale        sixths of an octave: index i stands for a logistic scale of 2^(i/6 - 5) pixel steps
"""

#: Legal values of Y, Co and Cg; a grey image has the first plane only.
LEGAL = ((0, 255), (-255, 255), (-255, 255))

ACTIVATION_BITS = 5
ACTIVATION_UNIT = 1 << ACTIVATION_BITS
ACTIVATION_MIN, ACTIVATION_MAX = -512, 511

ACTIVITIES = 21
#: Index m begins where the sum of 16 absolute differences, in quarter steps, reaches 2^(4 + (m - 1/2) / 2),
#: rounded up.
ACTIVITY_THRESHOLDS = (
    20, 27, 39, 54, 77, 108, 153, 216, 305, 431, 609, 862, 1218, 1723, 2436, 3445, 4871, 6889, 9742,
    13778,
)  # fmt: skip
#: 2^(13 - m/2), rounded: a difference of up to 2040 quarter steps times this stays under 2^24.
ACTIVITY_RECIPROCAL = (
    8192, 5793, 4096, 2896, 2048, 1448, 1024, 724, 512, 362, 256, 181, 128, 91, 64, 45, 32, 23, 16, 11,
    8,
)  # fmt: skip
ACTIVITY_RECIPROCAL_BITS = 8
#: 2^(4 + m/2), rounded: an activation times this, shifted right by 7, is a shift in sixteenths.
ACTIVITY_FACTOR = (
    16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024, 1448, 2048, 2896, 4096, 5793, 8192,
    11585, 16384,
)  # fmt: skip
ACTIVITY_FACTOR_BITS = 7

SHIFT_UNIT = 16
SCALES = 72
SCALE_STEPS_PER_OCTAVE = 6
SCALE_MIN_LOG2 = -5
#: The scale that a network starts from: half the activity, 2^(m/2 - 3) pixel steps.
SCALE_INDEX_OF_ACTIVITY = tuple(12 + 3 * m for m in range(ACTIVITIES))

#: An innovation counts in sixteenths of a scale.
INNOVATION_UNIT = 16
INNOVATION_MAX = 12 * INNOVATION_UNIT
#: 2^(16 - i/6), rounded: an error in sixteenths times this, shifted right by 11, is an innovation.
INNOVATION_FACTOR = (
    65536, 58386, 52016, 46341, 41285, 36781, 32768, 29193, 26008, 23170, 20643, 18390, 16384, 14596, 13004,
    11585, 10321, 9195, 8192, 7298, 6502, 5793, 5161, 4598, 4096, 3649, 3251, 2896, 2580, 2299, 2048, 1825,
    1625, 1448, 1290, 1149, 1024, 912, 813, 724, 645, 575, 512, 456, 406, 362, 323, 287, 256, 228, 203, 181,
    161, 144, 128, 114, 102, 91, 81, 72, 64, 57, 51, 45, 40, 36, 32, 29, 25, 23, 20, 18,
)  # fmt: skip
INNOVATION_FACTOR_BITS = 11
#: 2^(6 + i/6), rounded: an activation times this, shifted right by 12, is so many scales in sixteenths.
REFINEMENT_FACTOR = (
    64, 72, 81, 91, 102, 114, 128, 144, 161, 181, 203, 228, 256, 287, 323, 362, 406, 456, 512, 575, 645, 724,
    813, 912, 1024, 1149, 1290, 1448, 1625, 1825, 2048, 2299, 2580, 2896, 3251, 3649, 4096, 4598, 5161, 5793,
    6502, 7298, 8192, 9195, 10321, 11585, 13004, 14596, 16384, 18390, 20643, 23170, 26008, 29193, 32768,
    36781, 41285, 46341, 52016, 58386, 65536, 73562, 82570, 92682, 104032, 116772, 131072, 147123, 165140,
    185364, 208064, 233544,
)  # fmt: skip
REFINEMENT_FACTOR_BITS = 12

#: Masses are multiples of 2^-16.
MASS_BITS = 16
MASS_TOTAL = 1 << MASS_BITS
#: No symbol has less: a mass of 1 would leave the exchange nothing to pop.
MASS_MIN = 2

#: Pixel steps on each side of the mean that the base table of a scale index covers.
SCALE_RADIUS = (
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11,
    12, 13, 15, 16, 18, 20, 23, 25, 28, 31, 35, 39, 44, 49, 55, 61, 69, 77, 86, 97, 108, 121, 136, 153,
    171, 192, 215, 241, 271, 304, 341, 382, 429, 481, 510, 510, 510, 510, 510,
)  # fmt: skip
#: log2 of the entries a pixel step in the base table of a scale index: wide distributions need no sixteenths.
SCALE_FINENESS = (4,) * 36 + (3,) * 6 + (2,) * 6 + (1,) * 6 + (0,) * 18


def base_lengths() -> tuple[int, ...]:
    """Entries of the base table of each scale index: edges from -radius to +radius, both included."""
    return tuple(2 * (r << f) + 1 for r, f in zip(SCALE_RADIUS, SCALE_FINENESS, strict=True))
