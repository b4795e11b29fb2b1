"""One loop for every stage of every system: `train(runs, folder)`."""
