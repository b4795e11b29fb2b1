"""Published forms of our graphs: how to recognise, read and write them."""
