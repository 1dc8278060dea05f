# %% [markdown]
# # Write a model
#
# A model is a YAML file. This one computes how alike member and job are in several ways, gives each pair of
# occupations a weight of its own, and lets trees decide over all of it.

# %%
from pathlib import Path

import proml_kedro

MODEL = """
components:
  titles: {kind: cosine_similarity, of: [member.title_embedding, job.title_embedding]}
  words: {kind: text_overlap, of: [member.words, job.words]}
  occupations: {kind: cross, of: [member.title, job.title]}
  pairs: {kind: logistic, inputs: [occupations]}
  trees:
    kind: xgboost
    inputs: [titles, words, pairs.margin, "impression.*"]
    num_boost_round: 100
    early_stopping_rounds: 10
    params: {learning_rate: 0.1, max_depth: 4}
score: trees
"""
Path("../conf/model/similarities.yaml").write_text(MODEL)

# %%
p = proml_kedro.open_project("..", "problem=job_recommendations", "experiment=notebooks", "model=similarities")
made = p.run(results=("evaluation", "bundle"))
made

# %% [markdown]
# The verdict is honest: it knows nothing of what members and jobs did before, and the baseline, which reads every
# feature, is better. `inputs: ["*", titles, words, pairs.margin]` of the trees would give them both.
#
# ## A mistake is a line
#
# Everything that is wrong is said at once, before anything is computed.

# %%
# %load_ext proml_kedro
try:
    p.with_overrides("model.components.trees.num_boost_rounds=100", "model.score=tree").spec
except Exception as error:
    print(error)

# %% [markdown]
# ## What the trees read
#
# Of each row: what every input adds to the margin. Together with `base` they are the margin itself.

# %%
bundle = p.bundle(made["bundle"].path)
rows = p.training_set().pandas(split="test").head(200)
explained = bundle.explain_frame(rows).to_pandas()
scores = bundle.score_frame(rows)
explained.drop(columns="base").abs().mean().sort_values(ascending=False)
