"""What lies in the data folder: what of it is in use or damaged, and what can go.

:mod:`~proml_kedro.upkeep.inventory` lists stored results, :mod:`~proml_kedro.upkeep.needed` says who needs which,
:mod:`~proml_kedro.upkeep.damage` finds and disowns what is not what was written, :mod:`~proml_kedro.upkeep.unneeded`
removes what nobody needs.
"""

from proml_kedro.upkeep.damage import Damage, find_all_damage, online_stores_known, repair
from proml_kedro.upkeep.inventory import Stored, size_of, take_stock
from proml_kedro.upkeep.needed import Needs, find_needs
from proml_kedro.upkeep.unneeded import free, may_go

__all__ = [
    "Damage",
    "Needs",
    "Stored",
    "find_all_damage",
    "find_needs",
    "free",
    "may_go",
    "online_stores_known",
    "repair",
    "size_of",
    "take_stock",
]
