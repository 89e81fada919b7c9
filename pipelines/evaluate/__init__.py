"""The parts of `fld eval`; `pipelines.eval` puts them together."""
