"""The configuration: Hydra's composition of ``conf``, checked against the specs, served to Kedro.

This package alone knows Hydra, and imports it only when something is composed.
"""

from proml_kedro.config.loader import HydraConfigLoader

__all__ = [
    "HydraConfigLoader",
    "catalog",
    "completion",
    "composition",
    "folders",
    "interpolation",
    "overrides",
    "show",
    "sweeps",
    "yaml_size",
]
