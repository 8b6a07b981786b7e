"""Modules of other libraries as functions of their parameters."""
