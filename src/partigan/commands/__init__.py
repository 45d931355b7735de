"""What a user calls, one file a command."""
