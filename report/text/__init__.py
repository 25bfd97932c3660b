"""What sentences of a report say, and what speaks for or against them."""
