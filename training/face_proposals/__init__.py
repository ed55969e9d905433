"""The network that proposes faces: its training pictures, training and card."""
