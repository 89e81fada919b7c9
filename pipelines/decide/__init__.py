"""Decisions: pure functions from tables of predictions to tables of kept and rejected rows."""
