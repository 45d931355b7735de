"""One trainer for every system."""
