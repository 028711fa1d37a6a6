"""Configuration: one flat dataclass per lesson, four scales, and the settings of one training run."""

from __future__ import annotations

import inspect
import io
import tokenize
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Self

from companion.errors import CompanionError

SCALES = ("ci", "laptop", "study", "paper")


@dataclass(frozen=True)
class TrainConfig:
    """How one model is trained. Give `steps` or `epochs`; a lesson whose method needs more fields inherits."""

    lr: float = 1e-3  # learning rate
    weight_decay: float = 0.0  # L2 regularization (decoupled for AdamW)
    batch_size: int = 0  # examples per step; 0: all of them
    steps: int = 0  # optimizer steps; 0: count epochs instead
    epochs: int = 0  # passes over the data; 0: count steps instead
    dropout: float = 0.0  # probability that a unit is zeroed
    warmup: float = 0.0  # share of the steps over which the learning rate rises linearly
    schedule: str = "constant"  # after the warm-up: "constant", "linear" or "cosine", the latter two down to 0
    optimizer: str = "adam"  # "adam", "adamw", "sgd" (momentum 0.9) or "adagrad"
    grad_clip: float = 0.0  # largest norm of the gradient; 0: not clipped
    amp: bool = False  # bfloat16 autocast in the forward pass
    eval_every: int = 10  # steps between two evaluations on validation data


@dataclass(frozen=True)
class BaseConfig:
    """Every size and step count of a lesson; the defaults are those of the laptop scale.

    A lesson inherits, adds its fields, each with a trailing comment that says what it is, and lists in `SIZES` what
    each other scale changes. A key with dots reaches into a field: "train.GCN.steps" changes one number of one method.
    """

    scale: str = "laptop"  # "ci", "laptop", "study" or "paper"
    seeds: int = 3  # how many seeds are run

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # scale -> the fields that it changes
    REDUCED: ClassVar[Mapping[str, Mapping[str, Any]]] = {"ci": {}}  # scale -> what its reduced run cuts besides

    @classmethod
    def at(cls, scale: str) -> Self:
        """The configuration of one scale: "ci", "laptop", "study" or "paper"."""
        if scale not in SCALES:
            raise CompanionError(f"scale = {scale!r} is not a scale of this course; use one of {', '.join(SCALES)}.")
        return cls(scale=scale).override(**cls.SIZES.get(scale, {}))

    def override(self, **changes: Any) -> Self:
        """The same configuration with some fields changed: `config.override(hidden_dim=128, **{"train.GCN.lr": 0.1})`.

        A field that does not exist, and a number where text stands (or the reverse), is an error that names both.
        """
        changed = self
        for name, value in changes.items():
            changed = _changed(changed, name.split("."), value, name)
        return changed

    def as_dict(self) -> dict[str, Any]:
        """Field name -> value, in the order of definition; nested dataclasses become dictionaries."""
        return asdict(self)

    @classmethod
    def comments(cls) -> dict[str, str]:
        """Field name -> the comment behind it in the source, over all classes that the configuration inherits from."""
        found: dict[str, str] = {}
        for base in reversed(cls.__mro__):
            if is_dataclass(base):
                found |= _trailing_comments(base)
        return {each.name: found.get(each.name, "") for each in fields(cls)}


@dataclass(frozen=True)
class Study:
    """A run whose results are stored: what to run, with which configuration, from which seed on.

    `reduced` names the fields of the configuration that are cut for the reduced run: the same code on one seed in
    seconds, whose numbers stand beside the stored results and are recomputed by a test.
    """

    experiment: Callable[..., Any]
    config: BaseConfig
    first_seed: int = 0
    reduced: Mapping[str, Any] = field(default_factory=dict)

    def at_reduced_size(self) -> Study:
        """This study on one seed, with the cut fields."""
        return replace(self, config=self.config.override(seeds=1, **self.reduced), reduced={})


def _changed(holder: Any, path: list[str], value: Any, name: str) -> Any:
    """A copy of a dataclass or dictionary in which the value at `path` is another."""
    first, rest = path[0], path[1:]
    known = holder if isinstance(holder, Mapping) else vars(holder)
    if first not in known:
        inner = [path for path in _paths(holder) if path.endswith(f".{first}")]
        hint = f" Did you mean {' or '.join(map(repr, inner[:3]))}?" if inner and not rest else ""
        raise CompanionError(
            f"There is no setting {name!r}: {first!r} is not among {', '.join(map(str, known))}.{hint}"
        )
    old = known[first]
    if rest:
        if not (isinstance(old, Mapping) or is_dataclass(old)):
            raise CompanionError(f"There is no setting {name!r}: {first} is {old!r} and has no fields.")
        value = _changed(old, rest, value, name)
    elif not _same_kind(old, value):
        raise CompanionError(f"{name} = {value!r} does not fit: the setting is {old!r}, of type {type(old).__name__}.")
    return {**holder, first: value} if isinstance(holder, Mapping) else replace(holder, **{first: value})


def _paths(holder: Any, before: str = "") -> list[str]:
    """The names with dots of all settings in a dataclass or dictionary."""
    found = []
    for name, value in (holder if isinstance(holder, Mapping) else vars(holder)).items():
        inner = isinstance(value, Mapping) or is_dataclass(value)
        found += _paths(value, f"{before}{name}.") if inner else [f"{before}{name}"]
    return found


def _same_kind(old: Any, value: Any) -> bool:
    """False for text in place of a number, a number in place of a tuple, and the like."""
    numbers = (int, float)
    if old is None or value is None:
        return True
    if isinstance(old, bool) or isinstance(value, bool):
        return isinstance(old, bool) and isinstance(value, bool)
    if isinstance(old, numbers):
        return isinstance(value, numbers)
    if isinstance(old, str | Mapping):
        return isinstance(value, str if isinstance(old, str) else Mapping)
    return isinstance(value, type(old)) or (isinstance(old, tuple) and isinstance(value, list | tuple))


def _trailing_comments(cls: type) -> dict[str, str]:
    """Name -> comment, for lines such as `lr: float = 0.1  # learning rate` in a class body."""
    try:
        source = inspect.getsource(cls)
    except (OSError, TypeError):
        return {}
    found: dict[str, str] = {}
    name, depth = "", 0
    tokens = list(tokenize.generate_tokens(io.StringIO(inspect.cleandoc("\n" + source) + "\n").readline))
    for token, following in pairwise(tokens):
        if token.type == tokenize.OP:
            depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(token.string, 0)
        if token.type == tokenize.NAME and following.string == ":" and depth == 0 and token.start[1] == 4:
            name = token.string
        if token.type == tokenize.COMMENT and name and depth == 0:
            found.setdefault(name, token.string.lstrip("# ").strip())
    return found


def settings_rows(config: BaseConfig) -> list[list[str]]:
    """Name, value and meaning of each setting; of nested settings, the fields that differ from their default."""
    comments = config.comments()
    rows = []
    for name, value in vars(config).items():
        if name in ("scale", "seeds"):
            continue
        for path, leaf, meaning in _leaves(name, value, comments.get(name, "")):
            rows.append([path, setting_text(leaf), meaning])
    return rows


def _leaves(path: str, value: Any, meaning: str) -> Iterable[tuple[str, Any, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{path}.{key}", inner, meaning)
    elif is_dataclass(value) and not isinstance(value, type):
        defaults = {name: field.default for name, field in value.__dataclass_fields__.items()}
        comments = BaseConfig.comments.__func__(type(value))  # type: ignore[attr-defined]
        for name, inner in vars(value).items():
            if inner != defaults[name]:
                yield f"{path}.{name}", inner, comments.get(name, "") or meaning
    else:
        yield path, value, meaning


def setting_text(value: Any) -> str:
    """A setting as a reader would write it."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {setting_text(inner)}" for key, inner in value.items())
    if isinstance(value, tuple | list):
        nested = any(isinstance(part, dict | tuple | list) for part in value)
        return ("; " if nested else ", ").join(map(setting_text, value))
    return str(value)
