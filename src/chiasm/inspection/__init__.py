"""What pairs are like, before anything is trained on them."""
