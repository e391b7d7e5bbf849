"""The size of the key/value cache, by hand."""

import pytest

from attention.cache_size import cache_bytes, cache_sizes, sharing_name


def test_cache_by_hand():
    # Llama 2 70B (Touvron et al. 2023): 80 layers, 8 key heads of 128, 4,096 tokens in float16
    assert cache_bytes(4096, 8, 128, n_layers=80) == 2 * 80 * 4096 * 8 * 128 * 2 == 5 * 2**28
    assert cache_bytes(3, 5, 7, 11, bytes_per_number=4) == 3 * 5 * (7 + 11) * 4
    assert cache_bytes(0, 1, 1) == 0
    assert cache_sizes(10, 6, 2) == {6: 480, 3: 240, 2: 160, 1: 80}
    names = [sharing_name(6, n) for n in (6, 3, 2, 1)]
    assert names == ["multi-head", "grouped-query", "grouped-query", "multi-query"]
    assert sharing_name(1, 1) == "multi-head"


def test_cache_errors():
    with pytest.raises(ValueError, match="n_kv_heads must be 1 or more; got 0"):
        cache_bytes(4, 0, 2)
    with pytest.raises(ValueError, match="n_tokens must be 0 or more; got -1"):
        cache_bytes(-1, 1, 2)
    with pytest.raises(ValueError, match="n_heads must be 1 or more; got 0"):
        cache_sizes(4, 0, 2)
