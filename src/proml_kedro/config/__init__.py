"""The configuration: composed by Hydra, served to Kedro, checked by the specs. Nothing else imports Hydra."""

from proml_kedro.config.loader import OVERRIDES, HydraConfigLoader

__all__ = ["OVERRIDES", "HydraConfigLoader"]
