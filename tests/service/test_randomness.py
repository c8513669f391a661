"""Random bytes that are fetched in advance: never the same twice, whichever thread or process asks."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.randomness import random_bytes


def test_threads_never_get_the_same_bytes() -> None:
    with ThreadPoolExecutor(4) as threads:
        taken = [*threads.map(lambda _: [random_bytes(12) for _ in range(2_000)], range(4))]
    every = [one for part in taken for one in part]
    assert len(set(every)) == len(every) == 8_000 and {len(one) for one in every} == {12}


def test_more_than_is_fetched_at_once_is_given_whole() -> None:
    assert len(random_bytes(10_000)) == 10_000


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of Python 3.12, where other threads run
def test_a_forked_process_goes_on_with_other_bytes() -> None:
    random_bytes(1)  # so that a supply is there to be copied
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, random_bytes(16))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 16) != random_bytes(16)
    os.close(reading)
    os.close(writing)
