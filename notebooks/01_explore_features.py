# %% [markdown]
# # Explore features
#
# Members of a site search for jobs; each search shows a list, and they click, dismiss or apply. Which features say
# that a job will be dismissed? The data is generated, so that you can run this anywhere; without
# `experiment=notebooks` it is eight times as much.

# %%
import proml_kedro

p = proml_kedro.open_project("..", "problem=job_recommendations", "experiment=notebooks")
p

# %% [markdown]
# ## Find features
#
# Beginnings of words, in names, descriptions, owners and keys.

# %%
p.features.search("title")

# %%
p.features.search(entity="member_id", dtype="float")

# %% [markdown]
# ## How often a job is dismissed, by how alike its title is to the member's
#
# The same project with another label. Each bar is a tenth of the rows; its interval comes from whole lists, since
# jobs of one list are not independent of each other.

# %%
dismissals = p.with_overrides("problem.label.expression=dismiss")
dismissals.plot.label_rate("match.title_similarity", by="group")

# %%
dismissals.plot.label_rate("impression.title_overlap", by="group")

# %%
dismissals.plot.label_rate("match.seniority_gap", by="group")

# %% [markdown]
# Where a bar's interval is far from the others the feature says something by itself. What it says beside the others
# a model has to tell.
#
# ## Does a feature know too much?
#
# A feature that alone orders the rows nearly perfectly is seldom a good feature: it is usually the label in
# disguise, or was known only afterwards. DuckDB reads the training set where it lies; the share of pairs in the
# right order (the AUC) is computed from ranks.

# %%
training = p.training_set(features=["*"])
numbers = [name for name, dtype in p.spec.features.columns().items() if dtype in ("float", "int")]
rows = training.relation().filter("split = 'train'")


def order(feature: str) -> float:
    """How often a clicked job has a larger value than another one, of those where it is known; ties count half."""
    known = f'"{feature}" IS NOT NULL'
    ranked = rows.filter(known).project(
        f'label, rank() OVER (ORDER BY "{feature}") + (count(*) OVER (PARTITION BY "{feature}") - 1) / 2.0 AS place'
    )
    (found,) = ranked.aggregate("sum(place) FILTER (label = 1), sum(label), count(*)").fetchall()
    total, clicked, count = map(float, found)
    return (total - clicked * (clicked + 1) / 2) / (clicked * (count - clicked))


auc = {name: order(name) for name in numbers}
suspicious = [name for name, value in auc.items() if max(value, 1 - value) > 0.95]
sorted(auc.items(), key=lambda one: -abs(one[1] - 0.5))[:5], suspicious

# %% [markdown]
# Nothing here knows too much. `kedro features validate` looks for more: values that change when later rows are
# taken away.
#
# ## Has anything drifted?
#
# The last week beside the eight before it.

# %%
import json

drift = json.loads((p.run(results=("drift",))["drift"].path / "drift.json").read_text())
drift["verdict"], drift["words"]
