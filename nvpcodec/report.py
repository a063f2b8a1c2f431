"""Where the bits and the seconds of one encoding went."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Accounts:
    """One region's payload: stack_bits = theory_bits + initial_bits + what the coder needs beyond.

    theory_bits:  -log2 p of the integer model over everything that the stack carries
    initial_bits: bits popped before enough had been pushed
    stack_bits:   size of the coded stack
    side_bits:    size of the rest of the payload
    seconds:      time by stage
    """

    theory_bits: float = 0.0
    initial_bits: float = 0.0
    stack_bits: int = 0
    side_bits: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def coder_bits(self) -> float:
        return self.stack_bits - self.theory_bits - self.initial_bits


@dataclass(frozen=True)
class Report:
    """Accounts of one file: file_bits = theory + coder + initial + side + container.

    dims:            samples of the image
    theory_bits:     -log2 p of the integer model over everything that the stacks carry
    coder_bits:      what the coder needed beyond that, initial bits apart
    initial_bits:    bits popped before enough had been pushed
    side_bits:       payload bits beside the stacks: plain regions, alpha, chunk growth
    container_bits:  header, side data, checksums
    seconds:         time by stage
    """

    dims: int
    file_bits: int
    theory_bits: float
    coder_bits: float
    initial_bits: float
    side_bits: int
    container_bits: int
    seconds: dict[str, float] = field(default_factory=dict)


def summarise(dims: int, file_bytes: int, regions: list[Accounts]) -> Report:
    """The file's report from its regions'; the container is what they leave over."""
    stages = {stage for region in regions for stage in region.seconds}
    return Report(
        dims=dims,
        file_bits=8 * file_bytes,
        theory_bits=sum(r.theory_bits for r in regions),
        coder_bits=sum(r.coder_bits for r in regions),
        initial_bits=sum(r.initial_bits for r in regions),
        side_bits=sum(r.side_bits for r in regions),
        container_bits=8 * file_bytes - sum(r.stack_bits + r.side_bits for r in regions),
        seconds={stage: sum(r.seconds.get(stage, 0.0) for r in regions) for stage in sorted(stages)},
    )
