# %% [markdown]
# # Members and jobs of their own
#
# A mixed model learns a coefficient for every member and every job, as large as their rows can support. Trees say
# what is true of everybody.

# %%
import proml_kedro

p = proml_kedro.open_project("..", "problem=job_recommendations", "experiment=notebooks", "model=job_mixed")
made = p.run(results=("evaluation", "bundle"))
made

# %%
bundle = p.bundle(made["bundle"].path)
bundle.effects(member_id=42)

# %% [markdown]
# *value* is the member's own coefficient on the scale of the margin, *error* how unsure it is, *population* how
# much members differ, *quantile* the share of members with a smaller one.
#
# ## Little is said of whom little is known
#
# The fewer rows a member has the nearer its coefficient is to 0, that of everybody. That is shrinkage.

# %%
everybody = bundle.effects(top=10_000).pandas()
members = everybody[(everybody["feature"] == "intercept") & (everybody["effect"].str.contains("member_id"))]
half = members["rows"].median()
few, many = members[members["rows"] < half]["value"], members[members["rows"] >= half]["value"]
few.std(), many.std()

# %% [markdown]
# ## Is it true?
#
# The data is generated, and its truth kept where no model reads it.

# %%
import pyarrow.parquet as pq

truth = pq.read_table(p.run(results=("tables",))["tables"].path / "truth" / "members.parquet").to_pandas()
known = truth.loc[members["entity"].astype(int), "intercept"].to_numpy()
correlation = float(members["value"].corr(members["value"].__class__(known, index=members.index)))
correlation
