"""Groups of commands that `kedro` and `proml_kedro` offer beside `run`."""
