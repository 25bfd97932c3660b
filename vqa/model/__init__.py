"""The language model behind a picture and regions."""
