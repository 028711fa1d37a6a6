"""THIRD_PARTY.md, written from the data cards: `python -m companion.data.notices > THIRD_PARTY.md`."""

import sys

from companion.data.catalog import DataCard, cards

HEAD = """# Data and models of others

Written from the data cards by `python -m companion.data.notices > THIRD_PARTY.md`; do not edit by hand.

None of it is part of this repository. The sets below are fetched into the user's own cache, or brought by the user.
"""

TIERS = {
    "base": "fetched at set-up",
    "real": "brought by the user, in the folder that `COMPANION_REAL` names; never redistributed",
    "paper": "fetched on request, for runs at the paper's scale",
}


def third_party() -> str:
    """The text of THIRD_PARTY.md: for each card its license, attribution, sources, and the notice that must travel."""
    return "\n".join([HEAD, *map(_section, cards().values())])


def _section(card: DataCard) -> str:
    facts = {
        "Kind": f"{card.kind}, {TIERS[card.tier]}",
        "License": card.license,
        "Attribution": card.attribution,
        "Homepage": f"<{card.homepage}>",
        "Comes from": "; ".join(source.label for source in card.sources),
        "Here for": card.role,
    }
    lines = [f"- {key}: {value}" for key, value in facts.items() if value]
    return "\n".join([f"## {card.title}", "", *lines, "", *_quoted(card.notice)])


def _quoted(notice: str) -> list[str]:
    return [*(f"> {line}".rstrip() for line in notice.strip().splitlines()), ""] if notice else []


if __name__ == "__main__":
    sys.stdout.write(third_party())
