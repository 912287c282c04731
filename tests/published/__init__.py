"""Tests that are generated from the published document (docs/api/openapi.yaml): an endpoint or a
field that is added to it is covered by them without being named here."""
