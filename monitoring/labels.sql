-- Anomalies that were found. The newest figures of each; answers refer to them.
CREATE TABLE IF NOT EXISTS anomalies (
    problem TEXT NOT NULL, id TEXT NOT NULL, monitor TEXT NOT NULL, dimension TEXT NOT NULL, value TEXT NOT NULL,
    begins TEXT NOT NULL, ends TEXT NOT NULL, strength REAL NOT NULL, PRIMARY KEY (problem, id)
);
-- What people said of them. Rows are only added; the newest one of an anomaly counts.
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT, problem TEXT NOT NULL, id TEXT NOT NULL,
    answer TEXT NOT NULL CHECK (answer IN ('anomaly', 'new-trend', 'false-alarm', 'undecided')),
    who TEXT NOT NULL, said_at TEXT NOT NULL, note TEXT NOT NULL
);
-- How much wider than declared the bands of a monitor are. Rows are only added; the newest one counts.
CREATE TABLE IF NOT EXISTS widths (
    number INTEGER PRIMARY KEY AUTOINCREMENT, problem TEXT NOT NULL, monitor TEXT NOT NULL,
    factor REAL NOT NULL CHECK (factor > 0), who TEXT NOT NULL, said_at TEXT NOT NULL
);
