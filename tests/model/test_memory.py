"""The memory of clips: a bounded store that forgets what was used longest ago, and everything at a change."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from desta2.model.hearing import Heard
from desta2.model.memory import LIMIT_BYTES, Memory

FLOATS = 10  # of a clip of one window: 40 bytes


def heard(windows=1):
    return Heard(torch.zeros(windows, 2, FLOATS // 2), ("",) * windows)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(1, 4))), st.integers(0, 8))
def test_it_is_a_bounded_store_of_the_latest(steps, capacity):
    """Against a plain list, latest last."""
    memory, kept = Memory(capacity * 4 * FLOATS), []
    for is_put, key, windows in steps:
        found = next((pair for pair in kept if pair[0] == key), None)
        if is_put:
            kept = [pair for pair in kept if pair[0] != key]
            if windows <= capacity:
                kept.append((key, heard(windows)))
                memory.put(key, kept[-1][1])
            else:
                memory.put(key, heard(windows))
            while sum(len(clip.texts) for _, clip in kept) > capacity:
                kept.pop(0)
        else:
            assert memory.get(key) is (found[1] if found else None)
            if found:
                kept.remove(found)
                kept.append(found)
        assert len(memory) == len(kept)
        assert memory.used_bytes == 4 * FLOATS * sum(len(clip.texts) for _, clip in kept)
        assert memory.used_bytes <= memory.limit_bytes


def test_another_state_is_another_memory():
    memory = Memory()
    clip = heard()
    memory.of("weights").put("clip", clip)
    assert memory.of("weights").get("clip") is clip
    assert memory.of("other weights").get("clip") is None
    assert (len(memory), memory.used_bytes) == (0, 0)


def test_the_default_bound():
    assert Memory().limit_bytes == LIMIT_BYTES == 64 * 1024 * 1024
