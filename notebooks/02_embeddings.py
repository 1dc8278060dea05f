# %% [markdown]
# # Look at embeddings
#
# Titles of jobs come as vectors of twelve numbers: occupations that mean something alike point the same way.

# %%
import proml_kedro

p = proml_kedro.open_project("..", "problem=job_recommendations", "experiment=notebooks")
titles = p.plot.embedding("job.title_embedding", labels="title")
titles

# %% [markdown]
# The sentence above the map says how much of the difference two dimensions can show. What is near in all twelve
# stands in the rows.

# %%
{row["job.title"]: row["nearest"] for row in list(titles)[:5]}

# %% [markdown]
# ## Is near likely?
#
# The more alike two titles are, the more often a shown job is clicked.

# %%
similarity = p.plot.label_rate("match.title_similarity", by="group")
similarity

# %% [markdown]
# ## Two towers
#
# A network can learn such vectors itself: one of the member, one of the job, whose product is their affinity. Two
# epochs are enough to look at; `model=two_tower` alone trains ten.

# %%
towers = p.run("model=two_tower", "model.components.towers.training.epochs=2", results=("trained_model", "bundle"))
sorted(towers)

# %%
bundle = p.bundle(towers["bundle"].path)
some = p.with_overrides("model=two_tower").training_set().pandas(split="test").head(5)
bundle.score_frame(some)
