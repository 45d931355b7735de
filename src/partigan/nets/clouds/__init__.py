"""Generators and critics of particle clouds, one file for each paper."""
