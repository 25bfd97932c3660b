"""What makes the weights that come with the package, and exports."""
