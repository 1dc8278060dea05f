"""A bundle whose components have learned from further rows: another bundle, with the same promises."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from proml_kedro.atomic import temporary_beside
from proml_kedro.bundle.bundle import Bundle
from proml_kedro.bundle.golden import write_golden
from proml_kedro.bundle.integrity import CHECKSUMS, write_checksums
from proml_kedro.results.names import COMPONENTS, GOLDEN, MANIFEST, REPORTS

_LONGEST = 63  # of a version
_UPDATED = ".u"


def write_updated(bundle: Bundle, folder: Path, components: Collection[str], update: Mapping[str, Any]) -> None:
    """Write a bundle with the present state of some components; all else is as it was, golden rows but not scores too.

    Its metrics are those of the bundle that it goes on from, which the card says.

    Args:
        bundle: The bundle, with components that have learned.
        folder: Where to; it must not exist.
        components: Names of these components.
        update: What was learned from, for ``lineage.updates``.

    Raises:
        IntegrityError: What was written does not score as the model does.
    """
    import pyarrow.parquet as pq

    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(folder)
    try:
        left_out = {CHECKSUMS, *components}
        shutil.copytree(bundle.path, temporary, ignore=lambda _, names: left_out & set(names))
        for name in components:
            (temporary / COMPONENTS / name).mkdir()
            bundle.graph.components[name].save(temporary / COMPONENTS / name)
        manifest = _next_manifest(bundle, update)
        manifest.write(temporary)
        golden = pq.read_table(bundle.path / GOLDEN).drop_columns([manifest.score_output])
        write_golden(temporary, golden, bundle.inputs, manifest.score_output, bundle.score)
        run = {"run": {"params": {"resolved": str(folder / MANIFEST)}}}
        (temporary / "run.yml").write_text(yaml.safe_dump(run))
        with (temporary / REPORTS["bundle"]).open("a", encoding="utf-8") as card:
            card.write(_told(bundle, manifest.version, update))
        write_checksums(temporary)
        Bundle.load(temporary)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _next_manifest(bundle: Bundle, update: Mapping[str, Any]) -> Any:
    known = bundle.manifest
    updates = [*known.lineage.get("updates", []), {"of": bundle.digest, **update}]
    base, mark, number = known.version.rpartition(_UPDATED)
    first = base if mark and number.isdigit() else known.version
    end = f"{_UPDATED}{len(updates)}"
    version = f"{first[: _LONGEST - len(end)]}{end}"
    return known.model_copy(update={"version": version, "lineage": {**known.lineage, "updates": updates}})


def _told(bundle: Bundle, version: str, update: Mapping[str, Any]) -> str:
    return (
        f"\n## Update {version}\n\nGoes on from `{bundle.manifest.tag}` with {update['rows']:,} labelled rows. "
        "The figures above are of the model before; these rows were not held out.\n"
    )
