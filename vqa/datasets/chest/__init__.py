"""Question sets on chest films whose questions come with true regions."""
