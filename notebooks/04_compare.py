# %% [markdown]
# # Compare models
#
# Which of two models is better, by how much, and how sure is that?

# %%
import json

import proml_kedro

p = proml_kedro.open_project("..", "problem=job_recommendations", "experiment=notebooks")
p.run("model=logistic")

# %%
p.run("model=xgboost")

# %% [markdown]
# A lift is above 0 where the new model is better, whichever way is up, and its interval comes from whole days: rows
# of one day resemble each other, so that 9,000 rows are worth far fewer.

# %%
compared = p.compare("logistic", "xgboost")
compared

# %% [markdown]
# ## The same by lists
#
# What is independent of what is yours to say. Lists are smaller than days and there are more of them.

# %%
by_list = p.compare("logistic", "xgboost", by="group")
by_list.title

# %% [markdown]
# ## Where it is better
#
# On parts of the test period. P-values are of all parts and metrics together, so that one good part among twenty is
# no surprise.

# %%
metrics = json.loads((p.run("model=xgboost")["evaluation"].path / "metrics.json").read_text())
[(one["column"], one["value"], one["rows"], one["candidate"]) for one in metrics["slices"]][:6]

# %%
p.runs.table()
