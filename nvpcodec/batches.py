"""Many independent calls, some at a time in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from nvpcodec.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")


def run(call: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> list[Result]:
    """The results in the order of the items; after the first failure no more calls begin.

    Raises
    ------
    InputError
        ``jobs`` is below 1.
    """
    if jobs < 1:
        raise InputError(f"{jobs} jobs at a time cannot work; use 1 or more")
    if jobs == 1:
        return [call(item) for item in items]
    with ThreadPoolExecutor(jobs) as pool:
        try:
            return list(pool.map(call, items))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
