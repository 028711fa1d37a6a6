"""The data of the course: cards, the cache, and the loaders of each kind of data. Loaders never download."""

from companion.data.cache import Status, cache_dir, path, real_dir, status, verify
from companion.data.catalog import Address, DataCard, Distribution, Source, card, cards
from companion.data.download import fetch

__all__ = [
    "Address",
    "DataCard",
    "Distribution",
    "Source",
    "Status",
    "cache_dir",
    "card",
    "cards",
    "fetch",
    "path",
    "real_dir",
    "status",
    "verify",
]
