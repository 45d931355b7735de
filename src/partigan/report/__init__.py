"""Figures, and blocks of HTML pages."""
