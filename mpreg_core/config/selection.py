"""`--plugins SPEC`: comma-separated `[TIER:][FAMILY=]NAME`, the strongest word on which strategy a pool runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mpreg_core.config.problems import Problem
from mpreg_core.errors import PluginError, did_you_mean
from mpreg_core.ids import FAMILIES, Family, PoolTier
from mpreg_core.plugin.registry import Plugins

FLAG = "--plugins"
TIERS: dict[str, PoolTier] = {"global": "global", "regional": "regional", "local": "local"}
FAMILY_WORDS: dict[str, Family] = {**{family: family for family in FAMILIES}, "membership": "failure_detector"}
"""Word -> family: each family's own name and its section's."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Strategy names by (tier, family); tier None stands for every tier that is not named itself."""

    names: Mapping[tuple[PoolTier | None, Family], str]
    problems: tuple[Problem, ...]

    def name(self, tier: PoolTier, family: Family) -> str | None:
        """What was selected for a pool of this tier, if anything was."""
        return self.names.get((tier, family), self.names.get((None, family)))


def parse_selection(specs: Sequence[str], plugins: Plugins) -> Selection:
    """Read `--plugins` flags. A name without family is looked up in all families and has to be in one only."""
    names: dict[tuple[PoolTier | None, Family], str] = {}
    problems: list[Problem] = []
    for item in (part.strip() for spec in specs for part in spec.split(",")):
        if not item:
            continue
        try:
            key, name = _parse(item, plugins)
            if names.setdefault(key, name) != name:
                raise ValueError(f"expected one {key[1]} strategy for a tier, got {names[key]} and {name}")
        except (ValueError, PluginError) as error:
            problems.append(Problem(f"{FLAG} {item}", 0, "", str(error)))
    return Selection(names, tuple(problems))


def _parse(item: str, plugins: Plugins) -> tuple[tuple[PoolTier | None, Family], str]:
    tier_word, colon, rest = item.rpartition(":")
    if colon and tier_word not in TIERS:
        guess = did_you_mean(tier_word, list(TIERS))
        raise ValueError(f"expected one of {', '.join(TIERS)} before the colon, got {tier_word!r}{guess}")
    family_word, equals, name = rest.rpartition("=")
    if not name:
        raise ValueError("expected [TIER:][FAMILY=]NAME, got no name")
    tier = TIERS.get(tier_word)
    if not equals:
        return (tier, _family_of(name, plugins)), name
    if family_word not in FAMILY_WORDS:
        guess = did_you_mean(family_word, list(FAMILY_WORDS))
        raise ValueError(f"expected one of {', '.join(FAMILY_WORDS)} before =, got {family_word!r}{guess}")
    family = FAMILY_WORDS[family_word]
    plugins.find(family, name)
    return (tier, family), name


def _family_of(name: str, plugins: Plugins) -> Family:
    families = [family for family, its_name in plugins.strategies if its_name == name]
    if len(families) == 1:
        return families[0]
    if families:
        raise ValueError(f"{name} is a strategy of {' and '.join(families)}: write {families[0]}={name}")
    raise plugins.missing("plugin or", name, sorted({its_name for _, its_name in plugins.strategies}))
