"""Lines that mixed models are held to: InstEval, a million crossed rows and doublings of them, and updates.

    python benchmarks/mixed_lines.py                       # what needs nothing but this package
    python benchmarks/mixed_lines.py --insteval            # ratings of r-cran-lme4, beside lme4 itself
    python benchmarks/mixed_lines.py --rows 1e6 2e6 4e6 8e6

Seconds are of processor time with one thread, after compiling. A million rows are judged by products of the same sparse
matrix with a vector, measured in the same process. Prints what it finds; the last line is the figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from proml_kedro.hardware import use
from proml_kedro.models.component import Array, Examples, Input
from proml_kedro.models.mixed.component import Mixed
from proml_kedro.models.mixed.covariance import Covariance
from proml_kedro.models.mixed.encoding import Levels, Scale
from proml_kedro.models.mixed.fitted import FittedEffect, FittedFixed, FittedModel
from proml_kedro.models.mixed.memory.design import lay_out
from proml_kedro.models.mixed.memory.fit import fit
from proml_kedro.models.mixed.memory.fit_result import InMemoryFit
from proml_kedro.models.mixed.memory.observations import DesignTerms, Observations, RandomEffectTerm
from proml_kedro.models.mixed.memory.settings import FitSettings
from proml_kedro.models.mixed.spec import Loss, MixedSpec
from proml_kedro.spec.hardware import HardwareSpec

R_SCRIPT = """
suppressMessages(library(lme4)); folder <- commandArgs(TRUE)[1]; d <- InstEval
write.csv(data.frame(y = d$y, service = as.integer(d$service) - 1, s = as.integer(d$s) - 1, d = as.integer(d$d) - 1,
  dept = as.integer(d$dept) - 1), file.path(folder, "d.csv"), row.names = FALSE)
if (commandArgs(TRUE)[2] == "fit") {
  start <- proc.time(); m <- lmer(y ~ service + (1 | s) + (1 | d) + (1 | dept), d)
  cpu <- sum((proc.time() - start)[1:2])
  v <- VarCorr(m); cat(c(cpu, sapply(c("s", "d", "dept"), function(n) attr(v[[n]], "stddev")), logLik(m)))
}
"""
MEMBERS, JOBS, CHANGED = 1_000_000, 100_000, 10_000


def fit_crossed(
    codes: list[Array], fixed: Array, label: Array, loss: Loss, method: str = "variational"
) -> tuple[float, InMemoryFit]:
    """Fit crossed intercepts; return CPU seconds and the fit."""
    ones = np.ones((len(label), 1), np.float32)
    start = time.process_time()
    effects = [RandomEffectTerm(one.astype(np.int32), ones, int(one.max()) + 1) for one in codes]
    design = lay_out(Observations(label, np.zeros(len(label))), DesignTerms(fixed, [], effects))
    settings = FitSettings(loss, method, penalty=0)  # type: ignore[arg-type]
    found = fit(design, [Covariance(0.2 * np.eye(1), True, False) for _ in codes], settings)
    return time.process_time() - start, found


def insteval(beside: bool) -> dict[str, float]:
    """Three crossed effects of 73,421 ratings, as MixedModels.jl's benchmark has them."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["Rscript", "-e", R_SCRIPT, folder, "fit" if beside else "write"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        data = np.loadtxt(Path(folder) / "d.csv", delimiter=",", skiprows=1)
    label, unit = data[:, 0], data[:, 0].std()
    fixed = np.column_stack([np.ones(len(label)), data[:, 1] - data[:, 1].mean()])
    codes = [data[:, k].astype(np.int64) for k in (2, 3, 4)]
    runs = [fit_crossed(codes, fixed, (label - label.mean()) / unit, "linear") for _ in range(3)]
    cpu, found = min(one[0] for one in runs), runs[0][1]
    deviations = [float(one[0, 0]) ** 0.5 * unit for one in found.covariances]
    print(f"InstEval: {cpu:.2f} CPU s, {found.iterations} steps, deviations {np.round(deviations, 4).tolist()}")
    figures = {"insteval_gaussian_cpu": cpu}
    if beside:
        theirs, *expected = [float(one) for one in done.stdout.split()][:4]
        print(f"lme4: {theirs:.1f} CPU s, deviations {np.round(expected, 4).tolist()}")
        figures |= {"insteval_gaussian_lme4_cpu": theirs, "lme4_ratio_gaussian": theirs / cpu}
        figures["insteval_worst_deviation"] = float(np.abs(np.array(deviations) / expected - 1).max())
    return figures


def crossed(rows: int) -> dict[str, float]:
    """Labels of 0 and 1, members and jobs crossed, a tenth as many members as rows and a hundredth as many jobs."""
    generator = np.random.default_rng(0)
    sizes = rows // 10, rows // 100
    codes = [generator.integers(0, size, rows) for size in sizes]
    x = generator.normal(size=rows)
    margin = (
        -0.5 + 0.3 * x + sum(generator.normal(0, s, n)[one] for s, n, one in zip((0.7, 0.5), sizes, codes, strict=True))
    )
    label = (generator.random(rows) < 1 / (1 + np.exp(-margin))).astype(np.float64)
    cpu, found = fit_crossed(codes, np.column_stack([np.ones(rows), x]), label, "logistic")
    columns = np.column_stack([np.zeros(rows), np.ones(rows), 2 + codes[0], 2 + sizes[0] + codes[1]])
    values = np.column_stack([np.ones(rows), x, np.ones(rows), np.ones(rows)])
    shape = rows, 2 + sum(sizes)
    matrix = csr_array((values.ravel(), columns.astype(np.int64).ravel(), np.arange(rows + 1) * 4), shape=shape)
    vector, each = generator.normal(size=shape[1]), []
    for _ in range(15):
        start = time.process_time()
        matrix @ vector
        each.append(time.process_time() - start)
    product = float(np.median(each))
    deviations = [float(one[0, 0]) ** 0.5 for one in found.covariances]
    errors = np.round(found.fixed_errors, 5).tolist()
    said = f"deviations {np.round(deviations, 3).tolist()} of [0.7, 0.5], standard errors {errors}"
    print(f"{rows:,} rows: {cpu:.1f} CPU s, {found.iterations} steps, {cpu / product:.0f} products; {said}", flush=True)
    return {"cpu": cpu, "products": cpu / product}


def update() -> dict[str, float]:
    """10,000 of 1,000,000 members have three new rows each, of 100,000 jobs: loading, learning and writing."""
    inputs = (Input("member", "str"), Input("job", "str"), Input("x", "float"))
    effects = [{"entity": "member", "features": ["intercept", "x"]}, {"entity": "job"}]
    names = [one.name for one in inputs]
    spec = MixedSpec.model_validate({"kind": "mixed", "inputs": names, "fixed": ["x"], "random_effects": effects})
    model, generator = Mixed(spec, inputs), np.random.default_rng(0)
    model._terms._scales = {"x": Scale(0.0, 1.0, False, False)}
    for size, letter, d in ((MEMBERS, "m", 2), (JOBS, "j", 1)):
        keys = np.sort(np.char.add(letter.encode(), np.arange(size).astype(f"S{len(str(size))}")))
        model._terms.effect_levels.append(Levels(keys))
        means = generator.normal(0, 0.5, (size, d)).astype(np.float32)
        spread = np.broadcast_to(0.1 * np.eye(d, dtype=np.float32), (size, d, d))
        model._model.effects.append(FittedEffect(means, spread, np.full(size, 20, np.float32), 0.3 * np.eye(d)))
    fixed = FittedFixed(np.zeros(2), np.full(2, 0.01), [], [], 1e-4 * np.eye(2))
    model._model = FittedModel("logistic", fixed, model._model.effects)
    member, rows = np.repeat(generator.choice(MEMBERS, CHANGED, replace=False), 3), 3 * CHANGED
    columns = {
        "member": np.char.mod("m%d", member).astype(object),
        "job": np.char.mod("j%d", generator.integers(0, JOBS, rows)).astype(object),
        "x": generator.normal(size=rows),
    }
    examples = Examples(columns, (generator.random(rows) < 0.5).astype(np.float64))
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "before"), Path(folder, "after")
        before.mkdir()
        model.save(before)
        Mixed.load(spec, inputs, before).update(examples.take(slice(0, 30)), "m")  # imports
        start = time.process_time()
        fresh = Mixed.load(spec, inputs, before)
        facts = fresh.update(examples, "m")
        learned = time.process_time() - start
        after.mkdir()
        fresh.save(after)
        cpu = time.process_time() - start
    print(f"update: {facts.changed} in {learned:.2f} CPU s, {cpu:.2f} with writing {MEMBERS:,} members")
    return {"update_cpu": cpu, "update_learn_cpu": learned}


def measure(rows: list[float], with_insteval: bool, beside: bool) -> dict[str, float]:
    """Measure what was asked for."""
    crossed(2_000)  # compiles
    figures = update()
    if with_insteval:
        figures |= insteval(beside)
    found = {int(one): crossed(int(one)) for one in rows}
    if 1_000_000 in found:
        figures["crossed_1m_matvecs"] = found[1_000_000]["products"]
    doubled = [found[2 * one]["cpu"] / facts["cpu"] for one, facts in found.items() if 2 * one in found]
    if doubled:
        figures["doubling"] = max(doubled)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, nargs="*", default=[1e6])
    parser.add_argument("--insteval", action="store_true")
    parser.add_argument("--no-lme4", action="store_true", help="InstEval without a fit by lme4, which takes a minute")
    options = parser.parse_args()
    with use(HardwareSpec(threads=1)):
        figures = measure(options.rows, options.insteval, not options.no_lme4)
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
