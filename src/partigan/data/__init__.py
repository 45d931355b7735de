"""Reading, writing and normalising samples, one file for each kind."""
