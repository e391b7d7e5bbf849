"""How large the key/value cache of a decoder is, and what sharing heads saves.

A decoder that writes word by word keeps the keys and values of all earlier words, so that each new
word costs one row of attention and not the whole map. Fewer heads of keys and values make that
cache smaller: one for all queries (multi-query, Shazeer 2019) or one for each group of them
(grouped-query, Ainslie et al. 2023).
"""


def cache_bytes(
    n_tokens: int,
    n_kv_heads: int,
    d_k: int,
    d_v: int | None = None,
    *,
    n_layers: int = 1,
    bytes_per_number: int = 2,
) -> int:
    """Return n_layers · n_tokens · n_kv_heads · (d_k + d_v) · bytes_per_number, in bytes.

    d_v defaults to d_k; two bytes a number is float16. Raises ValueError for a size below 1, or
    below 0 for n_tokens.
    """
    d_v = d_k if d_v is None else d_v
    sizes = {"n_kv_heads": n_kv_heads, "d_k": d_k, "d_v": d_v, "n_layers": n_layers}
    for name, size in (sizes | {"bytes_per_number": bytes_per_number}).items():
        if size < 1:
            raise ValueError(f"{name} must be 1 or more; got {size}.")
    if n_tokens < 0:
        raise ValueError(f"n_tokens must be 0 or more; got {n_tokens}.")
    return n_layers * n_tokens * n_kv_heads * (d_k + d_v) * bytes_per_number


def cache_sizes(n_tokens: int, n_heads: int, d_k: int, d_v: int | None = None, **kw) -> dict:
    """Return the bytes of the cache for every number of key heads that n_heads can share evenly.

    {n_kv_heads: bytes}, from n_heads (multi-head) down to 1 (multi-query); what lies between is
    grouped-query. `kw` are those of `cache_bytes`.
    """
    if n_heads < 1:
        raise ValueError(f"n_heads must be 1 or more; got {n_heads}.")
    shared = [n for n in range(n_heads, 0, -1) if n_heads % n == 0]
    return {n: cache_bytes(n_tokens, n, d_k, d_v, **kw) for n in shared}


def sharing_name(n_heads: int, n_kv_heads: int) -> str:
    """Return "multi-head", "grouped-query" or "multi-query"; one head alone is "multi-head"."""
    if n_kv_heads == n_heads:
        return "multi-head"
    return "multi-query" if n_kv_heads == 1 else "grouped-query"
