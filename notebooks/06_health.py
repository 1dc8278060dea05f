# %% [markdown]
# # Find what went wrong
#
# Salaries were lost for a day: the generator has hidden that fault in the tables. `monitoring.anomalies` declares a
# figure, the share of shown jobs without a salary, and a detector says which days are unlike those before them.

# %%
import json
import os

import proml_kedro

p = proml_kedro.open_project("..", "problem=job_recommendations", "experiment=notebooks")
PROJECT = "problem=job_recommendations experiment=notebooks"
# %load_ext proml_kedro
os.chdir("..")  # commands find the project from its folder

# %%
# %proml anomalies detect {PROJECT} --until 2026-07-31 -o notebooks/found

# %%
from pathlib import Path

found = json.loads(Path("notebooks/found/anomalies.json").read_text())["anomalies"]
worst = max(found, key=lambda one: one["strength"])
worst

# %% [markdown]
# ## Why?
#
# Was it lost everywhere, or with some jobs alone? The rows of that day, by region of the job.

# %%
import duckdb

tables = p.run(results=("tables",))["tables"].path
regions = duckdb.sql(f"""
    SELECT jobs.region, count(*) AS shown, avg((impressions.salary_k IS NULL)::int) AS lost
    FROM '{tables}/impressions.parquet' AS impressions JOIN '{tables}/jobs.parquet' AS jobs USING (job_id)
    WHERE event_timestamp BETWEEN '{worst["begin"]}' AND '{worst["end"]}'
    GROUP BY jobs.region ORDER BY lost DESC
""").df()
regions

# %% [markdown]
# Everywhere: so it is the feed, and not the jobs. Say so, and it is remembered.

# %%
anomaly = worst["id"]

# %%
# %proml anomalies label {anomaly} anomaly {PROJECT} --note "the feed of salaries"

# %%
# %proml anomalies labels {PROJECT}
