"""The shared grounded multimodal LLM: LoRA, region tokens, prompts, training, generation."""
