"""Questions and captions that any region set answers by itself: measured on masks and boxes, then checked again."""
