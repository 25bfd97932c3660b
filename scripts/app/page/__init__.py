"""The page of `medglip app`: one module a tab; what they compute comes from the tools."""
