"""Write: study + evidence -> report sentences, each with its regions."""
