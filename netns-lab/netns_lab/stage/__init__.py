"""The stage: what a scenario plays on, how it is measured, and what is told and written of it."""
