"""The face of the library: pictures and strings in, answers out, whatever the model is made of."""
