"""An adapter leaves the house: exports, cards, half precision, servers."""
