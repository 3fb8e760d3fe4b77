"""The strategies that are installed, as a simulation runs them."""

from mpreg_core.assembly import parts_of
from mpreg_core.config.load import load_config, read_config
from mpreg_core.config.resolve import resolve
from mpreg_core.node.parts import PartsOf
from mpreg_core.plugin.discovery import load_plugins


def installed_parts(*specs: str, config: str | None = None) -> PartsOf:
    """What each tier runs: as a configuration file says, or the defaults, with `[TIER:][FAMILY=]NAME` on top.

    Raises `ConfigError`, `PluginError`.
    """
    chosen = load_config(config) if config is not None else read_config(data={}, env={})[0]
    return parts_of(resolve(chosen, load_plugins(), specs))
