"""The Med-GLIP core as transformers classes: configuration, towers, fusion, head, masks, losses, processing."""
