"""Ask: question + evidence -> answer."""
